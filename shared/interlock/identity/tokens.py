"""Verification of callers' tokens at the doors: API keys, and JWTs of issuers.

Everything is judged from published state in memory; what a revocation is stands in `standing`.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from joserfc.jwk import Key
from joserfc.registry import Header

from interlock.contracts.access import ApiKeyRecord, IssuerRecord
from interlock.contracts.task import digest_of
from interlock.errors import Refused, Unavailable
from interlock.identity import caller, jose
from interlock.identity.caller import LEEWAY, Caller
from interlock.identity.fetching import Fetching, UnknownKey
from interlock.identity.introspection import Introspection, is_opaque
from interlock.identity.jose import Claims, Unproven, key_set
from interlock.identity.people import Newcomer, People
from interlock.identity.roles import DEFAULT_TENANT
from interlock.identity.standing import EVERY_TENANT, Standing, Unknown
from interlock.state.port import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS, StateReader

__all__ = ["KEY_PREFIX", "Caller", "Tokens", "key_set"]

KEY_PREFIX = "ilk_"
"""An API key is `ilk_<key id>_<secret>`; a key id has no underscore."""

CACHED = 10_000
TOKEN_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
"""RFC 9068 §2.1, and what older issuers write. A statement of ours is no token."""


@dataclass(frozen=True)
class _Known:
    """A caller, valid while no view has changed."""

    versions: tuple[int, ...]
    caller: Caller
    audiences: frozenset[str] | None


class Tokens:
    """Verifies callers. `audiences` are the resources that we are (RFC 8707), ours first."""

    def __init__(
        self,
        reader: StateReader,
        *,
        audiences: Sequence[str],
        now: Callable[[], datetime],
        introspection: Introspection | None = None,
    ) -> None:
        self.audiences = tuple(audiences)
        self._reader = reader
        self._now = now
        self._agents = reader.view(AGENTS)
        self._keys = reader.view(API_KEYS)
        self._issuers = reader.view(ISSUERS)
        others = (reader.view(REVOCATIONS), reader.view(USERS))
        self._views = (self._agents, self._keys, self._issuers, *others)
        self._people = People(reader)
        self._standing = Standing(reader)
        self._fetching = Fetching(reader)
        self._introspection = introspection
        self._known: dict[bytes, _Known] = {}
        self._key_sets: dict[str, tuple[str, Mapping[str, Key]]] = {}

    async def verify(self, bearer: str, audience: str | None = None) -> Caller:
        """Who the token `bearer` speaks for, at the resource `audience` where a door is one.

        Raises `Refused` with code `invalid_token`, `expired_token`, `wrong_audience`, `revoked`,
        `unknown_agent`, `disabled_agent`, `unknown_user`, `disabled_user` or `not_delegated`;
        `Unavailable` while published state is stale, or an issuer that must be asked is away.
        """
        if not self._reader.fresh:
            raise Unavailable("published state is stale, so no token can be checked now")
        if is_opaque(bearer) and not bearer.startswith(KEY_PREFIX):
            return await self._verified(bearer, audience, await self._introspected(bearer))
        who = await self._verified(bearer, audience)
        record = self._issuers.get(who.principal.tenant, who.issuer or "")
        if record is not None and record.introspection is not None and record.introspection.every:
            await self._ask(record, bearer)
        return who

    async def _verified(
        self, bearer: str, audience: str | None, told: tuple[IssuerRecord, Claims] | None = None
    ) -> Caller:
        """By published state, and what an opaque token's issuer told of it."""
        try:
            return self._judge(bearer, audience, told)
        except Unknown:
            await asyncio.gather(*(view.confirm() for view in self._views))
        for _ in range(2):  # its key may be new, and its person, too
            try:
                return self._judge(bearer, audience, told)
            except UnknownKey as error:
                if not await self._fetching.fetched(error.record):
                    raise
            except Newcomer as error:
                if not await self._people.registered(error):
                    raise
        return self._judge(bearer, audience, told)

    async def _introspected(self, bearer: str) -> tuple[IssuerRecord, Claims]:
        """Which issuer says that an opaque token is good, and what it tells of it."""
        for look in (self._issuers.confirm, None):
            for record in self._issuers.of(DEFAULT_TENANT).values():  # no other may see it
                if record.introspection is not None:
                    with suppress(Refused):
                        return record, await self._ask(record, bearer)
            if look is not None:
                await look()
        raise Refused("the token is no issuer's that is trusted here", code="invalid_token")

    async def _ask(self, record: IssuerRecord, bearer: str) -> Claims:
        """The claims of an active token (RFC 7662 §2.2)."""
        how = record.introspection
        if how is None or self._introspection is None:
            raise Refused("nobody is asked about this token", code="invalid_token")
        claims = await self._introspection.answer(record.issuer, how, bearer)
        if claims.get("active") is not True or claims.get("iss", record.issuer) != record.issuer:
            raise Refused("the token's issuer says that it is not good", code="revoked")
        return dict(claims)

    def require_standing(self, who: Caller, *, lasting: bool = False) -> None:
        """`Refused` where access that `verify` once found was revoked since, though not, unless it
        must be `lasting`, where only its time is over: for whatever goes on after a request was let
        in.

        While published state is stale nothing can be known of revocations, and nothing is refused.
        """
        if lasting:
            _require_time(who, self._now())
        if self._reader.fresh:
            self._standing.require(who)

    def stands(self, who: Caller) -> bool:
        """For streams, which end with the token: not revoked, and not expired."""
        try:
            self.require_standing(who, lasting=True)
        except Refused:
            return False
        return True

    def _judge(
        self, bearer: str, audience: str | None, told: tuple[IssuerRecord, Claims] | None = None
    ) -> Caller:
        digest = sha256(bearer.encode("utf-8", "surrogatepass")).digest()
        versions = tuple(view.version for view in self._views)
        known = self._known.pop(digest, None)
        if known is None or known.versions != versions:
            key = bearer.startswith(KEY_PREFIX)
            proven = None if key else told or self._proven(bearer)
            known = self._key(bearer) if proven is None else self._token(bearer, audience, *proven)
            self._standing.require(known.caller)
            known = _Known(versions, known.caller, known.audiences)
        _require_time(known.caller, self._now())
        if known.audiences is not None:
            self._require_audience(known.audiences, audience)
        self._known[digest] = known
        if len(self._known) > CACHED:
            del self._known[next(iter(self._known))]
        return known.caller

    def _require_audience(self, given: frozenset[str], audience: str | None) -> None:
        wanted = {*self.audiences} if audience is None else {audience, *self.audiences}
        if not given & wanted:
            raise Refused(
                f"the token is not for `{audience or self.audiences[0]}`; ask its issuer for one "
                "with that `resource`",
                code="wrong_audience",
            )

    # -- API keys -------------------------------------------------------------------------------

    def _key(self, bearer: str) -> _Known:
        key_id, _, secret = bearer.removeprefix(KEY_PREFIX).partition("_")
        record = self._key_record(key_id)
        given = digest_of(secret.encode("utf-8", "surrogatepass"))
        if record is None or not hmac.compare_digest(given, record.secret_digest):
            raise Unknown(
                "the API key is not known; create one, or use another", code="invalid_token"
            )
        return _Known(
            (),
            Caller(
                principal=record.principal,
                token_scopes=record.token_scopes,
                roles=self._people.roles(record.principal, record.roles, key=True),
                groups=(),
                token_id=record.key_id,
                issued_at=record.issued_at,
                expires_at=record.expires_at,
                how="key",
                bound_to=(f"key:{record.key_id}",),
            ),
            None,
        )

    def _key_record(self, key_id: str) -> ApiKeyRecord | None:
        found = (self._keys.get(tenant, key_id) for tenant in self._keys.tenants())
        return next((record for record in found if record is not None), None)

    # -- tokens of issuers ----------------------------------------------------------------------

    def _proven(self, bearer: str) -> tuple[IssuerRecord, Claims]:
        """Whose a token is, and what it says, by its signature."""
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
        return record, claims

    def _token(
        self, bearer: str, audience: str | None, record: IssuerRecord, claims: Claims
    ) -> _Known:
        issued_at, expires_at = caller.times(claims, self._now())
        audiences = self._own_names(caller.audiences(claims), record)
        self._require_audience(audiences, audience)
        tenant = str(claims.get("tenant", "")) if record.tenant == EVERY_TENANT else record.tenant
        agents = self._agents.of(tenant)
        who = caller.principal(
            record, claims, tenant, agents, lambda subject: self._people.name(record, subject)
        )
        jti = claims.get("jti")
        return _Known(
            (),
            Caller(
                principal=who,
                token_scopes=caller.token_scopes(claims),
                roles=self._people.roles(who, caller.named(claims, record.roles_claim), key=False),
                groups=caller.named(claims, "groups"),
                token_id=jti if isinstance(jti, str) and jti else digest_of(bearer)[:32],
                issued_at=issued_at,
                expires_at=expires_at,
                how="token",
                issuer=record.issuer,
                bound_to=(*_bound_to(claims, record), *self._identity(claims, record)),
            ),
            audiences,
        )

    def _identity(self, claims: Claims, record: IssuerRecord) -> tuple[str, ...]:
        subject = claims.get(record.user_claim)
        return self._people.bound_to(record, subject if isinstance(subject, str) else None)

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
            raise UnknownKey(record)
        return key

    def _key_set(self, record: IssuerRecord) -> Mapping[str, Key]:
        known = self._key_sets.get(record.issuer)
        if known is None or known[0] != record.jwks:
            known = self._key_sets[record.issuer] = (record.jwks, key_set(record.jwks))
        return known[1]


def _bound_to(claims: Claims, record: IssuerRecord) -> tuple[str, ...]:
    """What a token of the embedded issuer was got with; nobody else's word for it counts."""
    return caller.named(claims, "bound_to") if record.tenant == EVERY_TENANT else ()


def _require_time(who: Caller, now: datetime) -> None:
    expires = who.expires_at
    if expires is not None and expires <= now - LEEWAY:
        raise Refused(f"the token expired at `{expires.isoformat()}`", code="expired_token")
