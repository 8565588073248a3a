"""The embedded issuer: tokens for agents by client credentials (RFC 6749 §4.4), and its keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from joserfc.jwk import ECKey

from interlock.contracts.access import IssuerRecord
from interlock.contracts.changes import SigningKeyRotated
from interlock.contracts.task import Principal
from interlock.errors import Unavailable
from interlock.identity import jose
from interlock.identity.caller import LEEWAY
from interlock.identity.issuer import issuer_url
from interlock.identity.sealing import Seal
from interlock.identity.standing import EVERY_TENANT
from interlock.state.port import ISSUERS
from services.auth import decide
from services.auth.handlers.stating import Stating
from services.auth.model import Client, SigningKey
from services.auth.store import Records, Store

log = structlog.get_logger()
ALGORITHM = "ES256"


@dataclass(frozen=True)
class Issuing:
    """Issues ES256 tokens (RFC 9068). A key that was replaced is published until they ended."""

    store: Store
    stating: Stating
    seal: Seal
    now: Callable[[], datetime]
    random_hex: Callable[[int], str]
    edge: str
    """The suite's URL: the resource that tokens are for, unless a client asks for part of it."""
    lifetime: timedelta

    @property
    def issuer(self) -> str:
        return issuer_url(self.edge)

    # -- keys -----------------------------------------------------------------------------------

    async def ensure(self) -> None:
        """At start: there is a key, and the issuer is published under its present URL."""
        await self.store.change(lambda records: self._publish(records, rotate=False))

    async def rotate(self, by: Principal) -> str:
        """Sign with a new key from now on. Returns its kid."""

        def work(records: Records) -> str:
            kid = self._publish(records, rotate=True)
            fact = SigningKeyRotated(by=by, tenant=by.tenant, name=kid)
            self.stating.say(records, fact, "signing_key", kid)
            return kid

        kid = await self.store.change(work)
        log.info("signing_key.rotated", kid=kid)
        return kid

    async def forget(self) -> bool:
        """Publish no longer what nothing good is signed with; whether there was any."""
        keys = await self.store.read(lambda records: records.signing_keys())
        if not decide.to_forget(keys, self.now()):
            return False
        await self.store.change(lambda records: self._publish(records, rotate=False))
        return True

    async def jwks(self) -> str:
        """The public keys, as they are published."""
        record = await self.store.read(
            lambda records: records.get(ISSUERS, EVERY_TENANT, self.issuer)
        )
        return record.jwks if record else '{"keys":[]}'

    def _publish(self, records: Records, *, rotate: bool) -> str:
        """Bring keys and record up to date. Returns the kid that signs now."""
        now, keys = self.now(), list(records.signing_keys())
        for key in decide.to_forget(keys, now):
            records.forget_signing_key(key.kid)
            keys.remove(key)
        current = decide.signs(keys)
        if rotate or current is None:
            current = self._new_key(now)
            until = now + self.lifetime + 2 * LEEWAY
            keys = [
                *(
                    key if key.published_until else replace(key, published_until=until)
                    for key in keys
                ),
                current,
            ]
            for key in keys:
                records.keep_signing_key(key)
        self._publish_issuer(records, keys)
        return current.kid

    def _publish_issuer(self, records: Records, keys: Sequence[SigningKey]) -> None:
        public = [orjson.loads(key.public) for key in sorted(keys, key=lambda key: key.kid)]
        jwks = orjson.dumps({"keys": public}).decode()
        record = IssuerRecord(tenant=EVERY_TENANT, issuer=self.issuer, audiences=(), jwks=jwks)
        known = records.of(ISSUERS, EVERY_TENANT)
        for url in known.keys() - {self.issuer}:
            records.put(ISSUERS, EVERY_TENANT, url, None)
        if known.get(self.issuer) != record:
            records.put(ISSUERS, EVERY_TENANT, self.issuer, record)

    def _new_key(self, now: datetime) -> SigningKey:
        kid = self.random_hex(8)
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM})
        public, private = key.as_dict(private=False), key.as_dict(private=True)
        sealed = self.seal.close(orjson.dumps(private))
        return SigningKey(kid, orjson.dumps(public).decode(), sealed, now)

    # -- tokens ---------------------------------------------------------------------------------

    async def issue(
        self, client: Client, scope: str | None, resources: Sequence[str]
    ) -> dict[str, Any]:
        """The answer of the token endpoint (RFC 6749 §5.1).

        `Refused` with code `invalid_scope` or `invalid_target` (RFC 8707 §2).
        """
        scopes = decide.scopes_to_issue(scope, client.token_scopes)
        audiences = decide.resources_to_issue(resources, self.edge, client.resources)
        key = decide.signs(await self.store.read(lambda records: records.signing_keys()))
        if key is None:
            raise Unavailable("the issuer has no signing key yet")
        now = self.now()
        ends = min(now + self.lifetime, client.expires_at or now + self.lifetime)
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": client.user or client.agent,
            "aud": audiences[0] if len(audiences) == 1 else audiences,
            "client_id": client.agent,
            "tenant": client.tenant,
            "roles": client.roles,
            "bound_to": client.bound_to,
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
            "jti": self.random_hex(16),
        }
        if scopes:
            claims["scope"] = " ".join(scopes)
        if client.user is not None:
            claims["act"] = {"sub": client.agent}
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": key.kid}
        private = ECKey.import_key(orjson.loads(self.seal.open(key.sealed)))
        return {
            "access_token": jose.sign(private, header, claims, jose.TOKENS),
            "token_type": "Bearer",
            "expires_in": int((ends - now).total_seconds()),
            "scope": " ".join(scopes),
        }
