"""Verification of callers' tokens at the doors: API keys, and JWTs of issuers.

Everything is judged from published state in memory. A revocation is a record at `<kind>:<name>`:
`token:<jti>`, `key:<key id>`, `agent:<name>`, `user:<name>` or `issuer:<URL>`.
"""

import asyncio
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson
from joserfc.jwk import Key
from joserfc.registry import Header

from interlock.contracts.access import ApiKeyRecord, IssuerRecord
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.errors import Refused, Unavailable
from interlock.identity import caller, jose
from interlock.identity.caller import LEEWAY, Caller
from interlock.identity.jose import Unproven
from interlock.state.port import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, StateReader

__all__ = ["KEY_PREFIX", "Caller", "Tokens", "key_set"]

KEY_PREFIX = "ilk_"
"""An API key is `ilk_<key id>_<secret>`; a key id has no underscore."""

CACHED = 10_000
ITSELF = frozenset({"token", "key"})
"""A revocation of these names one credential: it ends it, whatever its issuer's clock said."""
TOKEN_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
"""RFC 9068 §2.1, and what older issuers write. A statement of ours is no token."""


class Unknown(Refused):
    """A no that rests on published state: final only after `confirm`."""


@dataclass(frozen=True)
class _Known:
    """A caller, valid while no view has changed."""

    versions: tuple[int, ...]
    caller: Caller
    audiences: frozenset[str] | None


class Tokens:
    """Verifies callers. `audiences` are the resources that we are (RFC 8707), ours first."""

    def __init__(
        self, reader: StateReader, *, audiences: Sequence[str], now: Callable[[], datetime]
    ) -> None:
        self.audiences = tuple(audiences)
        self._reader = reader
        self._now = now
        self._agents = reader.view(AGENTS)
        self._keys = reader.view(API_KEYS)
        self._issuers = reader.view(ISSUERS)
        self._revocations = reader.view(REVOCATIONS)
        self._views = (self._agents, self._keys, self._issuers, self._revocations)
        self._known: dict[bytes, _Known] = {}
        self._key_sets: dict[str, tuple[str, Mapping[str, Key]]] = {}

    async def verify(self, bearer: str, audience: str | None = None) -> Caller:
        """Who the token `bearer` speaks for, at the resource `audience` where a door is one.

        Raises `Refused` with code `invalid_token`, `expired_token`, `wrong_audience`, `revoked`,
        `unknown_agent`, `disabled_agent` or `not_delegated`; `Unavailable` while published state
        is stale.
        """
        if not self._reader.fresh:
            raise Unavailable("published state is stale, so no token can be checked now")
        try:
            return self._judge(bearer, audience)
        except Unknown:
            await asyncio.gather(*(view.confirm() for view in self._views))
            return self._judge(bearer, audience)

    def _judge(self, bearer: str, audience: str | None) -> Caller:
        digest = sha256(bearer.encode("utf-8", "surrogatepass")).digest()
        versions = tuple(view.version for view in self._views)
        known = self._known.pop(digest, None)
        if known is None or known.versions != versions:
            known = self._key(bearer) if bearer.startswith(KEY_PREFIX) else self._token(bearer)
            self._require_not_revoked(known.caller)
            known = _Known(versions, known.caller, known.audiences)
        expires = known.caller.expires_at
        if expires is not None and expires <= self._now() - LEEWAY:
            raise Refused(f"the token expired at `{expires.isoformat()}`", code="expired_token")
        wanted = {*self.audiences} if audience is None else {audience, *self.audiences}
        if known.audiences is not None and not known.audiences & wanted:
            raise Refused(
                f"the token is not for `{audience or self.audiences[0]}`; ask its issuer for one "
                "with that `resource`",
                code="wrong_audience",
            )
        self._known[digest] = known
        if len(self._known) > CACHED:
            del self._known[next(iter(self._known))]
        return known.caller

    # -- API keys -------------------------------------------------------------------------------

    def _key(self, bearer: str) -> _Known:
        key_id, _, secret = bearer.removeprefix(KEY_PREFIX).partition("_")
        record = self._key_record(key_id)
        given = digest_of(secret.encode("utf-8", "surrogatepass"))
        if record is None or not hmac.compare_digest(given, record.secret_digest):
            raise Unknown(
                "the API key is not known; create one, or use another", code="invalid_token"
            )
        self._admit(record.principal)
        return _Known(
            (),
            Caller(
                principal=record.principal,
                token_scopes=record.token_scopes,
                roles=_roles(record.principal.kind, record.roles),
                groups=(),
                token_id=record.key_id,
                issued_at=record.issued_at,
                expires_at=record.expires_at,
                how="key",
            ),
            None,
        )

    def _key_record(self, key_id: str) -> ApiKeyRecord | None:
        found = (self._keys.get(tenant, key_id) for tenant in self._keys.tenants())
        return next((record for record in found if record is not None), None)

    # -- tokens of issuers ----------------------------------------------------------------------

    def _token(self, bearer: str) -> _Known:
        try:
            issuer = jose.unproven_claims(bearer, jose.TOKENS).get("iss")
            record = self._issuer_record(issuer)
            if record is None:
                raise Unknown("the token's issuer is not trusted here", code="invalid_token")
            claims = jose.verify(
                bearer, lambda header: self._signing_key(record, header), jose.TOKENS
            )
        except Unproven as error:
            raise Refused(f"the token is not believed: {error}", code="invalid_token") from None
        issued_at, expires_at = caller.times(claims, self._now())
        tenant = str(claims.get("tenant", "")) if record.tenant == "*" else record.tenant
        who = caller.principal(record, claims, tenant, self._agents.of(tenant))
        self._admit(who)
        jti = claims.get("jti")
        return _Known(
            (),
            Caller(
                principal=who,
                token_scopes=caller.token_scopes(claims),
                roles=_roles(who.kind, caller.named(claims, record.roles_claim)),
                groups=caller.named(claims, "groups"),
                token_id=jti if isinstance(jti, str) and jti else digest_of(bearer)[:32],
                issued_at=issued_at,
                expires_at=expires_at,
                how="token",
                issuer=record.issuer,
            ),
            self._own_names(caller.audiences(claims), record),
        )

    def _own_names(self, given: Sequence[str], record: IssuerRecord) -> frozenset[str]:
        """The token's audiences; one that its issuer calls us by counts as our first."""
        ours = self.audiences[:1] if {*given} & {*record.audiences} else ()
        return frozenset({*given, *ours})

    def _issuer_record(self, issuer: object) -> IssuerRecord | None:
        if not isinstance(issuer, str):
            return None
        found = (self._issuers.get(tenant, issuer) for tenant in self._issuers.tenants())
        return next((record for record in found if record is not None), None)

    def _signing_key(self, record: IssuerRecord, header: Header) -> Key:
        typ, kid = header.get("typ"), header.get("kid")
        if (typ.lower() if isinstance(typ, str) else typ) not in TOKEN_TYPES:
            raise Unproven("it is no access token")
        keys = self._key_set(record)
        if kid is None and len(keys) == 1:
            return next(iter(keys.values()))
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unknown(
                "the token is signed with a key that its issuer does not publish",
                code="invalid_token",
            )
        return key

    def _key_set(self, record: IssuerRecord) -> Mapping[str, Key]:
        known = self._key_sets.get(record.issuer)
        if known is None or known[0] != record.jwks:
            known = self._key_sets[record.issuer] = (record.jwks, key_set(record.jwks))
        return known[1]

    # -- both -----------------------------------------------------------------------------------

    def _admit(self, who: Principal) -> None:
        try:
            caller.admit(who, self._agents.get(who.tenant, who.name))
        except Refused as error:
            raise Unknown(error.detail, code=error.code) from None

    def _require_not_revoked(self, who: Caller) -> None:
        for field in _names(who):
            record = self._revocations.get(who.principal.tenant, field)
            if record and (
                record.kind in ITSELF or who.issued_at is None or who.issued_at < record.not_before
            ):
                raise Unknown(f"access of `{field}` was revoked", code="revoked")


def key_set(jwks: str) -> Mapping[str, Key]:
    """The usable public keys of a JSON Web Key Set by kid (RFC 7517 §5: others are ignored)."""
    keys: dict[str, Key] = {}
    values = orjson.loads(jwks).get("keys")
    for value in values if isinstance(values, list) else ():
        if not isinstance(value, dict):
            continue
        try:
            key = jose.public_key(value)
        except Unproven:
            continue
        if value.get("use", "sig") == "sig":
            keys[str(value.get("kid") or key.thumbprint())] = key
    return keys


def _roles(kind: PrincipalKind, given: Sequence[str]) -> tuple[str, ...]:
    """Every agent is one, whatever its token says."""
    return tuple(sorted({*given, "agent"} if kind is PrincipalKind.AGENT else {*given}))


def _names(who: Caller) -> Iterator[str]:
    yield f"{who.how}:{who.token_id}"
    principal = who.principal
    yield f"{'agent' if principal.kind is PrincipalKind.AGENT else 'user'}:{principal.name}"
    if principal.user is not None:
        yield f"user:{principal.user}"
    if who.issuer is not None:
        yield f"issuer:{who.issuer}"
