"""The embedded issuer: tokens for agents by client credentials (RFC 6749 §4.4), and its keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from joserfc.jwk import ECKey
from joserfc.registry import Header

from interlock.contracts.access import AgentRecord, IssuerRecord
from interlock.contracts.changes import SigningKeyRotated
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused, Unavailable
from interlock.identity import jose
from interlock.identity.caller import LEEWAY
from interlock.identity.roles import DEFAULT_TENANT
from interlock.identity.tokens import Tokens
from interlock.state.port import AGENTS, ISSUERS
from services.auth import decide
from services.auth.handlers.stating import Stating
from services.auth.model import Client, SigningKey
from services.auth.store import Records, Store
from services.auth.store.sealing import Seal

log = structlog.get_logger()
ALL = "*"
"""The tenant of the issuer's record: its tokens name their own."""
ALGORITHM = "ES256"


@dataclass(frozen=True)
class Issuing:
    """Issues ES256 tokens (RFC 9068). A key that was replaced is published until they ended."""

    store: Store
    stating: Stating
    seal: Seal
    tokens: Tokens
    now: Callable[[], datetime]
    random_hex: Callable[[int], str]
    edge: str
    """The suite's URL: the resource that tokens are for, unless a client asks for part of it."""
    lifetime: timedelta

    @property
    def issuer(self) -> str:
        return f"{self.edge}/auth"

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
        record = await self.store.read(lambda records: records.get(ISSUERS, ALL, self.issuer))
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
        record = IssuerRecord(tenant=ALL, issuer=self.issuer, audiences=(), jwks=jwks)
        known = records.of(ISSUERS, ALL)
        for url in known.keys() - {self.issuer}:
            records.put(ISSUERS, ALL, url, None)
        if known.get(self.issuer) != record:
            records.put(ISSUERS, ALL, self.issuer, record)

    def _new_key(self, now: datetime) -> SigningKey:
        kid = self.random_hex(8)
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM})
        public, private = key.as_dict(private=False), key.as_dict(private=True)
        sealed = self.seal.close(orjson.dumps(private))
        return SigningKey(kid, orjson.dumps(public).decode(), sealed, now)

    # -- clients --------------------------------------------------------------------------------

    async def by_secret(self, client_id: str, secret: str) -> Client:
        """The agent whose API key `secret` is; `Refused` (`invalid_client`)."""
        try:
            caller = await self.tokens.verify(secret)
        except Refused as error:
            raise Refused(error.detail, code="invalid_client") from None
        who = caller.principal
        ids = (f"{who.tenant}/{who.name}", who.name)
        if caller.how != "key" or who.kind is not PrincipalKind.AGENT or client_id not in ids:
            raise Refused(
                "a client's secret is an API key of the agent that `client_id` names",
                code="invalid_client",
            )
        return Client(
            tenant=who.tenant,
            agent=who.name,
            user=who.user,
            token_scopes=caller.token_scopes,
            roles=caller.roles,
            expires_at=caller.expires_at,
        )

    async def by_assertion(self, assertion: str) -> Client:
        """The agent that signed `assertion` (RFC 7523) with a key that is registered for it.

        `client_id` is the agent's name in tenant `default`, `<tenant>/<name>` in any.
        """
        try:
            claimed = jose.unproven_claims(assertion).get("sub")
            client_id = claimed if isinstance(claimed, str) else ""
            tenant, _, name = client_id.rpartition("/")
            agent = await self._agent(tenant or DEFAULT_TENANT, name)
            claims = _verified(assertion, agent)
        except jose.Unproven as error:
            why = f"the assertion is not believed: {error}"
            raise Refused(why, code="invalid_client") from None
        ours = (self.issuer, f"{self.issuer}/token")
        decide.require_assertion(claims, client_id, ours, self.now())
        return Client(agent.tenant, agent.name, None, agent.token_scopes, ())

    async def _agent(self, tenant: str, name: str) -> AgentRecord:
        agent = await self.store.read(lambda records: records.get(AGENTS, tenant, name))
        try:
            return decide.enabled(agent, name)
        except Refused as error:
            raise Refused(error.detail, code="invalid_client") from None

    # -- tokens ---------------------------------------------------------------------------------

    async def issue(
        self, client: Client, scope: str | None, resources: Sequence[str]
    ) -> dict[str, Any]:
        """The answer of the token endpoint (RFC 6749 §5.1).

        `Refused` with code `invalid_scope` or `invalid_target` (RFC 8707 §2).
        """
        scopes = decide.scopes_to_issue(scope, client.token_scopes)
        audiences = decide.resources_to_issue(resources, self.edge)
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
            "scope": " ".join(scopes),
            "roles": client.roles,
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
            "jti": self.random_hex(16),
        }
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


def _verified(assertion: str, agent: AgentRecord) -> jose.Claims:
    """The claims of an assertion, by whichever key of the agent fits."""
    keys = {key.thumbprint(): key for key in map(jose.public_key, agent.public_keys)}

    def key_for(header: Header) -> jose.AsymmetricKey:
        kid = str(header.get("kid", "")).rpartition(":")[2]
        if kid in keys:
            return keys[kid]
        if len(keys) == 1 and "kid" not in header:
            return next(iter(keys.values()))
        raise jose.Unproven("its key is not registered for the agent")

    return jose.verify(assertion, key_for)
