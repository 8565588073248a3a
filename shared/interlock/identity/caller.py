"""Who calls, as a proven token says: pure functions of its claims and of published records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from interlock.contracts.access import AgentRecord, IssuerRecord
from interlock.contracts.task import Principal, PrincipalKind, Task
from interlock.errors import Refused
from interlock.identity.jose import Claims
from interlock.identity.statements import Identity

LEEWAY = timedelta(seconds=30)
"""How far an issuer's clock may be off."""


@dataclass(frozen=True)
class Caller:
    """Who calls a door, proven by its token."""

    principal: Principal
    token_scopes: tuple[str, ...]
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    token_id: str
    """An API key's id, a token's `jti`, or the start of its digest where it has none."""
    issued_at: datetime | None
    expires_at: datetime | None
    how: str
    """`key` (an API key) or `token` (of an issuer)."""
    issuer: str | None = None
    bound_to: tuple[str, ...] = ()
    """What a token of the embedded issuer was got with, and ends with: `key:<API key's id>` (an
    API key itself rests on that, too),
    `jwk:<thumbprint>` or `client:<URL>` of its agent, `issuer:<URL>` of an assertion. A token of
    any issuer ends with the `identity:<digest>` by which its person is a user."""

    def identity(self, task: Task) -> Identity:
        """What a door states about who asks for `task`."""
        return Identity.of(task, self.token_scopes, self.roles, self.groups)


def times(claims: Claims, now: datetime) -> tuple[datetime | None, datetime]:
    """When the token was issued and when it ends (RFC 7519 §4.1); `Refused` outside of that."""
    issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
    if expires is None:
        raise Refused("the token has no `exp`; ask its issuer for one", code="invalid_token")
    if expires <= now - LEEWAY:
        raise Refused(f"the token expired at `{expires.isoformat()}`", code="expired_token")
    begins = max(filter(None, (issued, _moment(claims, "nbf"))), default=None)
    if begins is not None and begins > now + LEEWAY:
        raise Refused(f"the token begins at `{begins.isoformat()}`", code="invalid_token")
    return issued, expires


def audiences(claims: Claims) -> tuple[str, ...]:
    """For whom the token was made (RFC 7519 §4.1.3)."""
    return _strings(claims.get("aud"), split=False)


def token_scopes(claims: Claims) -> tuple[str, ...]:
    """`scope` (RFC 8693 §4.2), or `scp` as some issuers have it. None at all restricts nothing;
    any, be it `openid` alone, is all that the token may."""
    return _strings(claims.get("scope", claims.get("scp")))


def named(claims: Claims, path: str) -> tuple[str, ...]:
    """The names at a claim; dots lead into nested claims (`realm_access.roles`)."""
    value: object = claims
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return _strings(value)


def principal(
    record: IssuerRecord,
    claims: Claims,
    tenant: str,
    agents: Mapping[str, AgentRecord],
    people: Callable[[str], str],
) -> Principal:
    """Who acts, and for whom; `people` knows by which name a person goes here.

    An actor (`act`, RFC 8693 §4.1) or a client that is an agent acts; for the user that the token
    names, unless the token is the client's own. Any other client is a person's. A name that is no
    agent's is left for `admit` to refuse.
    """
    user, actor = _text(claims.get(record.user_claim)), _actor(claims)
    client = _text(claims.get(record.agent_claim)) or _text(claims.get("azp"))
    if actor is None and client is not None and _own(claims, client):
        return _principal(tenant, PrincipalKind.AGENT, client, None)
    if user is None:
        raise Refused(f"the token names nobody in `{record.user_claim}`", code="invalid_token")
    user = people(user)
    agent = actor or (client if client in agents else None)
    if agent is not None:
        return _principal(tenant, PrincipalKind.AGENT, agent, user)
    return _principal(tenant, PrincipalKind.PERSON, user, None)


def admit(who: Principal, agent: AgentRecord | None) -> None:
    """`Refused` unless an agent is registered, enabled and may act for its user."""
    if who.kind is not PrincipalKind.AGENT:
        return
    if agent is None:
        raise Refused(
            f"agent `{who.name}` is not registered with tenant `{who.tenant}`",
            code="unknown_agent",
        )
    if not agent.enabled:
        raise Refused(f"agent `{who.name}` is disabled", code="disabled_agent")
    if who.user is not None and not {who.user, "*"} & {*agent.may_act_for}:
        raise Refused(
            f"agent `{who.name}` may not act for user `{who.user}`; add the user to its "
            "`may_act_for`",
            code="not_delegated",
        )


def _own(claims: Claims, client: str) -> bool:
    """Whether the token is the client's own (RFC 9068 §2.2). Keycloak makes clients a user."""
    sub = claims.get("sub")
    service_account = claims.get("preferred_username") == f"service-account-{client}"
    return sub is None or sub == client or service_account


def _actor(claims: Claims) -> str | None:
    act = claims.get("act")
    if act is None:
        return None
    actor = _text(act.get("sub")) if isinstance(act, Mapping) else None
    if actor is None:
        raise Refused("the token's `act` names no `sub`", code="invalid_token")
    return actor


def _principal(tenant: str, kind: PrincipalKind, name: str, user: str | None) -> Principal:
    try:
        return Principal(tenant=tenant, kind=kind, name=name, user=user)
    except ValidationError:
        raise Refused(
            "the token names no valid tenant or principal", code="invalid_token"
        ) from None


def _moment(claims: Claims, name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise Refused(f"the token's `{name}` is no time", code="invalid_token") from None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _strings(value: object, *, split: bool = True) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split()) if split else (value,)
    if isinstance(value, Sequence):
        return tuple(one for one in value if isinstance(one, str))
    return ()
