"""Whether access that a token once proved is in force still: pure look-ups in published state.

A revocation is a record at `<kind>:<name>`: `token:<jti>`, `key:<key id>`, `agent:<name>`,
`user:<name>`, `issuer:<URL>` or `tenant:<name>`. Beside it access ends with what it rests on: the
registered agent or user, the API key or the agent's own key that the token was got with, the trust
in its issuer, the identity by which its person is a user.
"""

from collections.abc import Iterator

from interlock.contracts.access import AgentRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity import caller, jose
from interlock.identity.caller import Caller
from interlock.state.port import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS, StateReader

ITSELF = frozenset({"token", "key", "tenant"})
"""A revocation of these ends what it names for as long as it is there, whatever a clock said."""
REMEMBERED = 10_000
EVERY_TENANT = "*"
"""Where the embedded issuer's record is: its tokens name their own tenant."""


class Unknown(Refused):
    """A no that rests on published state: final only after `confirm`."""


class Standing:
    """Reads published state, never waits."""

    def __init__(self, reader: StateReader) -> None:
        self._agents = reader.view(AGENTS)
        self._keys = reader.view(API_KEYS)
        self._issuers = reader.view(ISSUERS)
        self._revocations = reader.view(REVOCATIONS)
        self._users = reader.view(USERS)
        self._views = (self._agents, self._keys, self._issuers, self._revocations, self._users)
        self._versions: tuple[int, ...] = ()
        self._stood: dict[int, Caller] = {}
        """Whose access was in force by these versions, each by where it lies in memory."""

    def require(self, who: Caller) -> None:
        """`Unknown` where the access of `who` was revoked, or what it rests on is gone."""
        versions = tuple([view.version for view in self._views])
        if versions != self._versions or len(self._stood) >= REMEMBERED:
            self._versions, self._stood = versions, {}
        if self._stood.get(id(who)) is not who:
            self._require(who)
            self._stood[id(who)] = who

    def _require(self, who: Caller) -> None:
        principal = who.principal
        agent = self._agents.get(principal.tenant, principal.name)
        _admit(principal, agent)
        self._require_enabled(principal)
        if who.issuer is not None and not self._trusted(principal.tenant, who.issuer):
            raise Unknown("the token's issuer is not trusted any more", code="invalid_token")
        for one in who.bound_to:
            if not self._there(one, principal.tenant, agent):
                raise Unknown(f"the token was got with `{one}`, which is gone", code="revoked")
        self._require_not_revoked(who)

    def _require_enabled(self, who: Principal) -> None:
        """Whoever is no registered user is no disabled one either."""
        name = who.name if who.kind is PrincipalKind.PERSON else who.user
        user = None if name is None else self._users.get(who.tenant, name)
        if user is not None and not user.enabled:
            raise Unknown(f"user `{name}` is disabled", code="disabled_user")

    def _trusted(self, tenant: str, issuer: str) -> bool:
        return any(self._issuers.get(one, issuer) is not None for one in (tenant, EVERY_TENANT))

    def _there(self, bound_to: str, tenant: str, agent: AgentRecord | None) -> bool:
        kind, _, name = bound_to.partition(":")
        if kind == "key":
            return self._keys.get(tenant, name) is not None
        if kind == "jwk":
            return agent is not None and name in map(_thumbprint, agent.public_keys)
        if kind == "client":
            return agent is not None and name == agent.client_id
        if kind == "identity":
            return any(name in user.identities for user in self._users.of(tenant).values())
        return kind == "issuer" and self._trusted(tenant, name)

    def _require_not_revoked(self, who: Caller) -> None:
        for field in _names(who):
            record = self._revocations.get(who.principal.tenant, field)
            if record and (
                record.kind in ITSELF or who.issued_at is None or who.issued_at < record.not_before
            ):
                raise Unknown(f"access of `{field}` was revoked", code="revoked")


def _admit(who: Principal, agent: AgentRecord | None) -> None:
    try:
        caller.admit(who, agent)
    except Refused as error:
        raise Unknown(error.detail, code=error.code) from None


def _names(who: Caller) -> Iterator[str]:
    yield f"{who.how}:{who.token_id}"
    principal = who.principal
    yield f"{'agent' if principal.kind is PrincipalKind.AGENT else 'user'}:{principal.name}"
    if principal.user is not None:
        yield f"user:{principal.user}"
    if who.issuer is not None:
        yield f"issuer:{who.issuer}"
    yield f"tenant:{principal.tenant}"
    yield from who.bound_to


def _thumbprint(jwk: str) -> str:
    return jose.public_key(jwk).thumbprint()
