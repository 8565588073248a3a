"""The nouns of policy: a decision, an approval, a policy set and its history."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from interlock.bus import Raw
from interlock.contracts.access import PolicySetRecord
from interlock.contracts.ids import Digest, TaskId
from interlock.contracts.task import NO_CLIENT, Client, Task
from interlock.policy import Judgement

Key = tuple[str, TaskId, int]
"""Tenant, task, round."""


class State(StrEnum):
    """Where a decision stands. It changes only while held."""

    AUTHORIZED = "authorized"
    HELD = "held"
    DENIED = "denied"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether policy ended the task."""
        return self in {State.DENIED, State.CANCELLED, State.FAILED}


@dataclass(frozen=True)
class Ask:
    """What a judgement needs beside the task: kept while the task is held."""

    arguments: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] = ()
    given: str | None = None
    """The input of a later round, exact JSON text."""
    client: Client = NO_CLIENT
    """Passed on, never judged."""
    approval_id: str | None = None
    """Of a person's approval of an earlier round, under which later ones are judged."""


@dataclass(frozen=True)
class Ruling:
    """A judgement, and the tool that it was made for."""

    judgement: Judgement
    tool_digest: Digest | None = None


@dataclass(frozen=True)
class Decision:
    """The one row of a task and round, with all that was stated about it."""

    task: Task
    state: State
    decision_id: str
    policy_version: int
    code: str
    reason: str
    because: tuple[str, ...]
    approvers: tuple[str, ...]
    decided_at: datetime
    facts: tuple[Raw, ...]
    """What the request's message caused; each redelivery gives out exactly these."""
    expires_at: datetime | None = None
    """Of a held one."""
    ask: Ask | None = field(default=None, repr=False)
    """Of a held one, also after it was answered."""
    later: tuple[Raw, ...] = ()
    """What was stated when the hold was answered."""
    revision: int = 0

    @property
    def key(self) -> Key:
        return self.task.tenant, self.task.id, self.task.round


@dataclass(frozen=True)
class Approval:
    """A person's answer to a held task, whatever came of it. Single use."""

    id: str
    by: str
    answer: str
    """`approved`, `refused`; `denied` or `voided` where the approval met another judgement."""
    reason: str
    request_digest: Digest
    held_under: int
    judged_under: int
    at: datetime


@dataclass(frozen=True)
class Answer:
    """How a held decision changes, and what goes out with that."""

    before: Decision
    after: Decision
    messages: tuple[Raw, ...]
    approval: Approval | None = None


@dataclass(frozen=True)
class PolicyVersion:
    """One version of a tenant's set: never changed, never deleted."""

    record: PolicySetRecord
    at: datetime
    by: str
    what: str
    from_folder: tuple[str, ...] = ()
    """Names of the policies that come from the operator's folder."""
