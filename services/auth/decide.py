"""Every rule of auth, as functions of their arguments."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from urllib.parse import urlsplit

from interlock.contracts.access import AgentRecord, IssuerRecord
from interlock.contracts.ids import TaskId, derived
from interlock.contracts.requests import TaskSubmitted
from interlock.contracts.strict_json import parse_arguments
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind
from interlock.errors import Refused
from interlock.identity import caller
from interlock.identity.caller import LEEWAY
from interlock.identity.jose import Claims
from interlock.identity.roles import RIGHTS
from interlock.identity.submissions import requested, verify_submission
from services.auth.model import Believed, SigningKey

LONGEST_TASK = timedelta(hours=24)
LONGEST_ASSERTION = timedelta(minutes=5)
SUBMITTABLE = frozenset(TaskKind) - {TaskKind.INSPECT, TaskKind.DELEGATE}
"""What an agent may ask for on the bus. To inspect is the registry's own."""


def believe(
    submission: TaskSubmitted, agent: AgentRecord | None, delegation: Claims | None, now: datetime
) -> Believed:
    """The task that a submission is; `Refused` with the reason where it is none.

    `delegation` holds the claims of the submission's delegation, signed by us.
    """
    agent = enabled(agent, submission.agent)
    if submission.deadline.tzinfo is None:
        raise Refused("the deadline needs a time zone", code="bad_request")
    key = verify_submission(submission, agent.public_keys)
    _require_sound(submission, now)
    parse_arguments(submission.arguments)
    user = None if delegation is None else delegated_user(delegation, agent, key, now)
    task = Task(
        id=TaskId(derived("bus", submission.tenant, submission.agent, submission.client_ref)),
        principal=Principal(
            tenant=agent.tenant, kind=PrincipalKind.AGENT, name=agent.name, user=user
        ),
        kind=submission.kind,
        server=submission.server,
        tool=submission.tool,
        request_digest=requested(submission),
        deadline=submission.deadline,
    )
    return Believed(task, agent.token_scopes)


def enabled(agent: AgentRecord | None, name: str) -> AgentRecord:
    """`Refused` unless the agent is registered and enabled."""
    if agent is None:
        raise Refused(f"agent `{name}` is not registered", code="unknown_agent")
    if not agent.enabled:
        raise Refused(f"agent `{name}` is disabled", code="disabled_agent")
    return agent


def delegated_user(claims: Claims, agent: AgentRecord, key: str, now: datetime) -> str:
    """For whom a delegation lets `key` of `agent` act (RFC 8693 §4.1, RFC 7800 §3)."""
    if (claims["tenant"], claims["act"], claims["cnf"]) != (
        agent.tenant,
        {"sub": agent.name},
        {"jkt": key},
    ):
        raise Refused("the delegation is not for this agent and key", code="not_delegated")
    if claims["exp"] <= now.timestamp():
        raise Refused("the delegation has expired; ask for a new one", code="not_delegated")
    user: str = claims["sub"]
    require_may_act_for(agent, user)
    return user


def require_may_act_for(agent: AgentRecord, user: str) -> None:
    """`Refused` unless the agent may act for the user at all."""
    if not {user, "*"} & {*agent.may_act_for}:
        raise Refused(
            f"agent `{agent.name}` may not act for user `{user}`; add the user to its "
            "`may_act_for`",
            code="not_delegated",
        )


def _require_sound(submission: TaskSubmitted, now: datetime) -> None:
    if not 0 < len(submission.client_ref) <= 255:
        raise Refused("a `client_ref` has 1 to 255 characters", code="bad_request")
    if submission.kind not in SUBMITTABLE:
        raise Refused(
            f"kind `{submission.kind}` cannot be asked for on the bus", code="bad_request"
        )
    if submission.kind is TaskKind.CALL and submission.tool is None:
        raise Refused("a call names its `tool`", code="bad_request")
    if submission.deadline <= now:
        raise Refused("the deadline is past", code="expired")
    if submission.deadline > now + LONGEST_TASK:
        raise Refused(f"the deadline is more than `{LONGEST_TASK}` away", code="bad_request")


# -- the token endpoint ---------------------------------------------------------------------------


def scopes_to_issue(asked: str | None, allowed: Sequence[str]) -> tuple[str, ...]:
    """What a token says: of what was asked all that is allowed (RFC 6749 §3.3).

    `Refused` (`invalid_scope`) where nothing of it is: clients ask for all that a resource knows.
    """
    if not asked or not asked.split():
        return tuple(allowed)
    granted = tuple(scope for scope in dict.fromkeys(asked.split()) if scope in allowed)
    if not granted:
        raise Refused(
            f"none of the scopes `{asked}` is given to this client; it has "
            f"{', '.join(f'`{scope}`' for scope in allowed) or 'none'}",
            code="invalid_scope",
        )
    return granted


def resources_to_issue(
    asked: Sequence[str], ours: str, granted: Sequence[str] = ()
) -> tuple[str, ...]:
    """The audiences of a token (RFC 8707 §2): the suite's edge, or parts of it; no others than
    those that a grant names."""
    wanted = tuple(dict.fromkeys(one.rstrip("/") for one in asked or granted)) or (ours,)
    allowed = {one.rstrip("/") for one in granted}
    for one in wanted:
        if allowed and one not in allowed:
            raise Refused(f"the assertion is not for resource `{one}`", code="invalid_target")
        if "#" in one or not (one == ours or one.startswith(f"{ours}/")):
            raise Refused(f"resource `{one}` is not part of `{ours}`", code="invalid_target")
    return wanted


def require_assertion(
    claims: Claims, client_id: str, audiences: Collection[str], now: datetime
) -> None:
    """`Refused` unless a client's assertion is its own, for us and short-lived (RFC 7523 §3)."""
    ends = claims.get("exp")
    if not claims.get("iss") == claims.get("sub") == client_id:
        raise Refused("`iss` and `sub` of the assertion are not the client", code="invalid_client")
    if not {*caller.audiences(claims)} & {*audiences}:
        raise Refused("the assertion is not for this issuer", code="invalid_client")
    left = ends - now.timestamp() if isinstance(ends, int | float) else -inf
    leeway = LEEWAY.total_seconds()
    if not -leeway < left <= LONGEST_ASSERTION.total_seconds() + leeway:
        raise Refused(
            f"`exp` of the assertion is not within `{LONGEST_ASSERTION}`", code="invalid_client"
        )


def client_ids(agent: AgentRecord) -> tuple[str, ...]:
    """What an agent may call itself at the token endpoint. A bare name is enough where the agent
    proves itself with more than its name."""
    named = (f"{agent.tenant}/{agent.name}", agent.name)
    return named if agent.client_id is None else (*named, agent.client_id)


def remembered_until(claims: Claims, code: str) -> datetime:
    """How long an assertion must be known again; `Refused` (`code`) where it has no `jti`."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise Refused("the assertion has no `jti`, which makes it good once", code=code)
    return datetime.fromtimestamp(claims["exp"], UTC) + 2 * LEEWAY


def require_id_jag(claims: Claims, client_ids: Collection[str], issuer: str, now: datetime) -> None:
    """`Refused` unless an ID-JAG is for this client, for us alone, and in time."""
    if caller.audiences(claims) != (issuer,):
        raise Refused(f"the assertion is not for `{issuer}`", code="invalid_grant")
    if claims.get("client_id") not in client_ids:
        raise Refused("the assertion is for another client", code="invalid_grant")
    issued, _ = caller.times(claims, now)
    if issued is None:
        raise Refused("the assertion has no `iat`", code="invalid_grant")
    remembered_until(claims, "invalid_grant")


def user_of(claims: Claims, record: IssuerRecord) -> str:
    """Whom an ID-JAG names, in the claim that names people in this issuer's tokens."""
    user = claims.get(record.user_claim)
    if not isinstance(user, str) or not 0 < len(user) <= 255:
        raise Refused(f"the assertion names nobody in `{record.user_claim}`", code="invalid_grant")
    return user


def scopes_of_grant(claims: Claims, allowed: Sequence[str]) -> tuple[str, ...]:
    """What both an ID-JAG and the client's own credential let the client say.

    `Refused` (`invalid_scope`) where that is nothing, for a token without scopes is unrestricted.
    """
    granted = caller.token_scopes(claims)
    both = tuple(scope for scope in granted if scope in allowed) if allowed else granted
    if granted and not both:
        raise Refused("no scope of the assertion is given to this client", code="invalid_scope")
    return both or tuple(allowed)


def resources_of_grant(claims: Claims) -> tuple[str, ...]:
    """The resources that an ID-JAG names (RFC 8707)."""
    return caller.audiences({"aud": claims.get("resource")})


def require_client_document(document: Mapping[str, Any], url: str) -> None:
    """`Refused` unless a Client ID Metadata Document is `url`'s own, of a client that signs."""
    if document.get("client_id") != url:
        raise Refused(f"the document at `{url}` is not its own `client_id`", code="invalid_client")
    method = document.get("token_endpoint_auth_method")
    if method != "private_key_jwt" or "client_secret" in document:
        raise Refused(
            f"the document at `{url}` must say `private_key_jwt`, and hold no secret",
            code="invalid_client",
        )


def require_client_url(url: str, private: bool) -> None:
    """`Refused` (`invalid`) unless a URL may stand for a client (its §3)."""
    try:
        parts = urlsplit(url)
        plain = bool(parts.hostname) and parts.username is None and "#" not in url
    except ValueError:
        plain = False
    schemes = ("https", "http") if private else ("https",)
    if not plain or parts.scheme not in schemes or not _proper(parts.path):
        raise Refused(
            f"`{url}` is no `client_id`: it is an `https` URL with a path and no fragment",
            code="invalid",
        )


def _proper(path: str) -> bool:
    return len(path) > 1 and not {".", ".."} & {*path.split("/")}


def signs(keys: Sequence[SigningKey]) -> SigningKey | None:
    """The key that signs now: the newest that was not replaced."""
    current = [key for key in keys if key.published_until is None]
    return max(current, key=lambda key: (key.created_at, key.kid), default=None)


def to_forget(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """Keys of which no token can be good any more."""
    return [key for key in keys if key.published_until is not None and key.published_until <= now]


# -- what people give to each other ---------------------------------------------------------------


def require_may_give(roles: Sequence[str], giver: Sequence[str]) -> None:
    """`Refused` for a role that does not exist, or that gives a right which the giver lacks."""
    unknown = [role for role in roles if role not in RIGHTS]
    if unknown:
        raise Refused(
            f"there is no role `{unknown[0]}`; there are "
            + ", ".join(f"`{role}`" for role in RIGHTS),
            code="invalid",
        )
    own = frozenset[str]().union(*(RIGHTS.get(role, frozenset()) for role in giver))
    for role in roles:
        if not RIGHTS[role] <= own:
            raise Refused(
                f"role `{role}` gives rights that you do not have; ask an `admin`", code="forbidden"
            )


def key_to_bind(thumbprints: Sequence[str], wanted: str | None) -> str:
    """The key that a delegation is bound to: the one named, or the only one there is."""
    if wanted is None and len(thumbprints) == 1:
        return thumbprints[0]
    if wanted is None or wanted not in thumbprints:
        raise Refused(
            "name the `key` (its thumbprint) to which the delegation is bound; the agent has "
            + (", ".join(f"`{one}`" for one in thumbprints) or "none"),
            code="invalid",
        )
    return wanted
