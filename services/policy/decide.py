"""Every rule of policy beside Cedar's, as functions of their arguments."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from interlock.contracts.access import PermissionRecord, PolicySetRecord, PolicyText
from interlock.contracts.catalogue import ServerRecord, ToolRecord
from interlock.contracts.ids import NAME, PolicyId, derived
from interlock.contracts.outcomes import TaskDenied, TaskFailed, TaskHeld
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind
from interlock.errors import Refused
from interlock.identity.roles import Right, has
from interlock.policy import Asker, Judgement, Question, Verdict
from services.policy.model import Ask, Decision, State

JUDGED = frozenset(TaskKind) - {TaskKind.DELEGATE}
STATES = {Verdict.ALLOW: State.AUTHORIZED, Verdict.DENY: State.DENIED, Verdict.HOLD: State.HELD}


class Caller(Protocol):
    """Who stands at the door."""

    @property
    def principal(self) -> Principal: ...
    @property
    def roles(self) -> tuple[str, ...]: ...


# -- judging --------------------------------------------------------------------------------------


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
    return Question(asker, task.kind, task.server, server, tool, ask.arguments, now)


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
) -> TaskDenied:
    return TaskDenied(
        task=row.task,
        code=row.code,
        reason=row.reason,
        because=tuple(map(PolicyId, row.because)),
        missing=tuple(missing),
        policy_version=row.policy_version,
        decision_id=row.decision_id,
        by=by,
    )


def expired_fact(task: Task) -> TaskFailed:
    reason = f"the deadline `{task.deadline.isoformat()}` passed before policy decided"
    return TaskFailed(task=task, code="expired", reason=reason)


# -- holds ----------------------------------------------------------------------------------------


def lapsed(row: Decision, now: datetime) -> bool:
    """Whether nobody may answer the hold any more."""
    return row.expires_at is not None and now >= row.expires_at


def require_answerer(caller: Caller, row: Decision) -> None:
    """`Refused` (`forbidden`) unless the caller may answer this hold.

    A person does, never an agent; never the one who asked, nor the user it was asked for; with one
    of the roles that the rule names, or, where it names none, the right to decide approvals.
    """
    who, asked = caller.principal, row.task.principal
    if who.kind is not PrincipalKind.PERSON:
        raise Refused(f"`{who.label}` is no person; a person answers a hold", code="forbidden")
    if {who.name, who.user} & ({asked.name, asked.user} - {None}):
        raise Refused(
            f"`{who.label}` asked for task `{row.task.id}`; somebody else must answer it",
            code="forbidden",
        )
    if not may_answer(caller.roles, row):
        roles = ", ".join(f"`{role}`" for role in row.approvers or ("approver",))
        raise Refused(
            f"answering task `{row.task.id}` needs one of the roles {roles}", code="forbidden"
        )


def may_answer(roles: Sequence[str], row: Decision) -> bool:
    """Whether one of `roles` suffices for this hold."""
    if row.approvers:
        return not {*row.approvers}.isdisjoint(roles)
    return has(_Roles(tuple(roles)), Right.APPROVALS_DECIDE)


class _Roles:
    def __init__(self, roles: tuple[str, ...]) -> None:
        self.roles = roles


def confirmed(row: Decision, judgement: Judgement) -> bool:
    """Whether an approval of `row` counts under `judgement`: it allows, or holds for the same."""
    if judgement.verdict is Verdict.HOLD:
        return (judgement.because, judgement.approvers) == (row.because, row.approvers)
    return judgement.verdict is Verdict.ALLOW


# -- policy sets ----------------------------------------------------------------------------------


def with_policy(record: PolicySetRecord, name: str, text: str) -> PolicySetRecord:
    """The set with this policy in place of one of its name."""
    return with_policies(record, {name: text}, ())


def without_policy(record: PolicySetRecord, name: str) -> PolicySetRecord:
    """The set without it; `Refused` (`not_found`) where it is not there."""
    if all(policy.name != name for policy in record.policies):
        known = ", ".join(f"`{policy.name}`" for policy in record.policies) or "none"
        raise Refused(f"there is no policy `{name}`; there are {known}", code="not_found")
    return with_policies(record, {}, {name})


def with_policies(
    record: PolicySetRecord, texts: Mapping[str, str], gone: Sequence[str] | set[str]
) -> PolicySetRecord:
    """The set with `texts` by name, and without `gone`; policies are kept in order of names."""
    all_texts = {one.name: one.text for one in record.policies if one.name not in gone}
    all_texts.update(texts)
    policies = tuple(PolicyText(name=name, text=text) for name, text in sorted(all_texts.items()))
    return record.model_copy(update={"policies": policies})


def with_permissions(
    record: PolicySetRecord, agent: str, permissions: Sequence[str], approval: Sequence[str]
) -> PolicySetRecord:
    """The set with what `agent` was given; nothing at all takes its entry away."""
    others = {one.agent: one for one in record.permissions if one.agent != agent}
    if permissions or approval:
        others[agent] = PermissionRecord(
            agent=agent,
            permissions=tuple(sorted(set(permissions))),
            with_approval=tuple(sorted(set(approval) - set(permissions))),
        )
    entries = tuple(others[name] for name in sorted(others))
    return record.model_copy(update={"permissions": entries})


def require_name(what: str, name: str) -> None:
    """`Refused` (`invalid`) for a name that a policy or an agent cannot have."""
    if not re.fullmatch(NAME, name):
        raise Refused(
            f"`{name}` cannot name this {what}: use lower-case letters, digits and hyphens, "
            "at most 64",
            code="invalid",
        )


def require_own(name: str, from_folder: Sequence[str]) -> None:
    """`Refused` (`conflict`) for a policy that the operator's folder owns."""
    if name in from_folder:
        raise Refused(
            f"policy `{name}` comes from the operator's folder; change its file and restart",
            code="conflict",
        )
