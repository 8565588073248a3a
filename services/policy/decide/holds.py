"""Who may answer a hold, and what an answer is worth."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity.roles import Right, has
from interlock.policy import Judgement, Verdict
from services.policy.model import Decision


class Caller(Protocol):
    """Who stands at the door."""

    @property
    def principal(self) -> Principal: ...
    @property
    def roles(self) -> tuple[str, ...]: ...


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
