"""Which submissions on the bus are an agent's, and for whom agents may act."""

from datetime import datetime, timedelta

from interlock.contracts.access import AgentRecord, RevocationRecord
from interlock.contracts.ids import TaskId, derived
from interlock.contracts.requests import TaskSubmitted
from interlock.contracts.strict_json import parse_arguments
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind
from interlock.errors import Refused
from interlock.identity.jose import Claims
from interlock.identity.submissions import requested, verify_submission
from services.auth.model import Believed

LONGEST_TASK = timedelta(hours=24)
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


def require_tenant(shut: RevocationRecord | None) -> None:
    """`Refused` for the tenant that a revocation shuts out."""
    if shut is not None:
        raise Refused(f"tenant `{shut.tenant}` is disabled", code="disabled_tenant")


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
