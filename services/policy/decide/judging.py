"""From a task to a decision, and from that to what is said."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from interlock.contracts.catalogue import ServerRecord, ToolRecord
from interlock.contracts.ids import PolicyId, derived
from interlock.contracts.outcomes import TaskDenied, TaskFailed, TaskHeld
from interlock.contracts.requests import AuthorizationExpired, InputDenied
from interlock.contracts.task import Principal, Task, TaskKind, request_digest
from interlock.errors import Early, Forged
from interlock.policy import Asker, Judgement, Question, Verdict
from services.policy.model import Ask, Decision, State

JUDGED = frozenset(TaskKind) - {TaskKind.DELEGATE}
STATES = {Verdict.ALLOW: State.AUTHORIZED, Verdict.DENY: State.DENIED, Verdict.HOLD: State.HELD}


def not_offered(task: Task, server: ServerRecord | None, tool: ToolRecord | None) -> str | None:
    """Why there is nothing to judge: the catalogue lacks what the task names. Else None."""
    if task.kind not in JUDGED:
        return f"tasks of kind `{task.kind}` are not offered"
    if task.kind is TaskKind.INSPECT:
        return None
    if server is None:
        return f"server `{task.server}` is not in the catalogue"
    if tool is None and task.kind is TaskKind.CALL:
        return f"tool `{task.tool}` is not offered by server `{task.server}`"
    return None


def tool_of(task: Task, server: ServerRecord | None) -> ToolRecord | None:
    """The tool that a call names, where the catalogue has it; no other task names one."""
    if server is None or task.kind is not TaskKind.CALL:
        return None
    return server.tool(task.tool)


def question(
    task: Task, ask: Ask, server: ServerRecord | None, tool: ToolRecord | None, now: datetime
) -> Question:
    """What Cedar is asked."""
    asker = Asker(task.principal, ask.roles, ask.groups, ask.token_scopes)
    return Question(
        asker,
        task.kind,
        task.server,
        server,
        tool,
        ask.arguments,
        now,
        given=ask.given,
        approved=ask.approval_id is not None,
    )


def expired(task: Task, now: datetime) -> bool:
    """Whether the task's deadline has passed."""
    return now >= task.deadline


def decision_id(task: Task) -> str:
    """One per tenant, task and round."""
    return derived("decision", task.tenant, task.id, task.round)


def decision(
    task: Task, judgement: Judgement, ask: Ask, now: datetime, *, revision: int = 0
) -> Decision:
    """The row that follows from a judgement, nothing stated yet."""
    held = judgement.verdict is Verdict.HOLD
    return Decision(
        task=task,
        state=STATES[judgement.verdict],
        decision_id=decision_id(task),
        policy_version=judgement.policy_version,
        code=judgement.code,
        reason=judgement.reason,
        because=judgement.because,
        approvers=judgement.approvers,
        decided_at=now,
        facts=(),
        expires_at=hold_ends(task, judgement, now) if held else None,
        ask=ask if held or revision else None,
        revision=revision,
    )


def ended(task: Task, state: State, code: str, reason: str, now: datetime) -> Decision:
    """The row of a task that ended before it was judged."""
    return Decision(
        task=task,
        state=state,
        decision_id=decision_id(task),
        policy_version=0,
        code=code,
        reason=reason,
        because=(),
        approvers=(),
        decided_at=now,
        facts=(),
    )


def hold_ends(task: Task, judgement: Judgement, now: datetime) -> datetime:
    """The earlier of the rule's time and the task's deadline."""
    if judgement.hold_seconds is None:
        return task.deadline
    return min(task.deadline, now + timedelta(seconds=judgement.hold_seconds))


# -- later rounds ---------------------------------------------------------------------------------


def require_round_of(rows: Sequence[Decision], task: Task, arguments: str) -> Decision:
    """The request's row, for a later round of the same request.

    `Early` while the request or the round before has no verdict that lets it run: one that we do
    not know is not believed. `Forged` where it is another request.
    """
    known = {row.task.round: row for row in rows}
    first, before = known.get(0), known.get(task.round - 1)
    if first is None or before is None or State.HELD in {first.state, before.state}:
        raise Early(
            f"round `{task.round}` of task `{task.id}` came before the round before it was decided"
        )
    digest = request_digest(task.kind, task.server, task.tool, arguments)
    if task.model_copy(update={"round": 0, "request_digest": digest}) != first.task:
        raise Forged(f"round `{task.round}` of task `{task.id}` is of another request")
    return next((row for row in rows if row.task.round < task.round and row.state.ended), first)


def ended_before(task: Task, end: Decision, now: datetime) -> Decision:
    """The row of a round that came after the task had ended: that end is stated again."""
    row = ended(task, end.state, end.code, end.reason, now)
    return replace(row, facts=(*end.facts, *end.later))


# -- what is said ---------------------------------------------------------------------------------


def held_fact(row: Decision) -> TaskHeld:
    return TaskHeld(
        task=row.task,
        reason=row.reason,
        because=tuple(map(PolicyId, row.because)),
        approvers=row.approvers,
        expires_at=row.expires_at or row.task.deadline,
        policy_version=row.policy_version,
        decision_id=row.decision_id,
    )


def denied_fact(
    row: Decision, missing: Sequence[str] = (), by: Principal | None = None
) -> TaskDenied | InputDenied:
    """The end of the task; or, of a later round, what its next authority ends it for."""
    said = TaskDenied if row.task.round == 0 else InputDenied
    return said(
        task=row.task,
        code=row.code,
        reason=row.reason,
        because=tuple(map(PolicyId, row.because)),
        missing=tuple(missing),
        policy_version=row.policy_version,
        decision_id=row.decision_id,
        by=by,
    )


def expired_fact(task: Task) -> TaskFailed | AuthorizationExpired:
    """The end of the task; or, of a later round, word to the next authority."""
    if task.round > 0:
        return AuthorizationExpired(task=task)
    return TaskFailed(task=task, code="expired", reason=too_late(task))


def too_late(task: Task) -> str:
    """What passed."""
    return f"the deadline `{task.deadline.isoformat()}` passed before policy decided"
