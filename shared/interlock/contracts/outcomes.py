"""What happens to a task: everything on `task.events`."""

from datetime import datetime
from enum import StrEnum

from interlock.contracts.ids import Digest, EventId, PolicyId
from interlock.contracts.message import Fact, Model
from interlock.contracts.task import Principal, TaskEvent
from interlock.contracts.topics import Topic


class Attempt(Model):
    """One try at executing a task, as told with its outcome."""

    number: int
    started_at: datetime
    seconds: float
    outcome: str
    """`answered`, or why there was no answer: `not_sent`, `lost`, `error`; `asked`: the upstream
    wanted input first."""
    detail: str = ""
    told: int = 0
    """The highest `seq` of what was told of it on the way; 0 too where nobody knows any more."""


class TaskAccepted(TaskEvent):
    """Auth believes a submission from the bus: it is this task now."""

    type = "interlock.task.accepted.v1"

    submission_id: EventId
    submission_digest: Digest
    """SHA-256 of the submission's raw body."""


class TaskRefused(Fact):
    """Auth does not believe a submission, or it reuses a `client_ref` for another request.

    Its subject is the submission's own id, never the id of the task whose `client_ref` it reuses.
    """

    type = "interlock.task.refused.v1"
    topic = Topic.TASK_EVENTS

    tenant: str
    agent: str
    client_ref: str
    code: str
    reason: str
    submission_id: EventId
    submission_digest: Digest

    @property
    def tenant_id(self) -> str:
        return self.tenant

    @property
    def subject(self) -> str:
        return self.submission_id


class TaskDenied(TaskEvent):
    """The task may not run. An empty `because` means that no policy spoke for it."""

    type = "interlock.task.denied.v1"

    code: str
    """`denied`, `lapsed`, `refused`, `evaluation_error`, `not_offered`, …"""
    reason: str
    because: tuple[PolicyId, ...] = ()
    missing: tuple[str, ...] = ()
    """The permissions that the principal lacks, where that was the reason."""
    policy_version: int
    decision_id: str
    by: Principal | None = None
    """The person who refused it, where one did."""


class TaskHeld(TaskEvent):
    """A person must approve the task before it runs."""

    type = "interlock.task.held.v1"

    reason: str
    because: tuple[PolicyId, ...]
    approvers: tuple[str, ...] = ()
    """Roles of which an approver needs one; empty: any approver."""
    expires_at: datetime
    policy_version: int
    decision_id: str


class TaskApproved(TaskEvent):
    """A person approved exactly this task; it was judged again and may run."""

    type = "interlock.task.approved.v1"

    approval_id: str
    by: Principal
    reason: str = ""
    held_under: int
    approved_under: int
    """Policy versions at the hold and at the approval."""


class TaskParked(TaskEvent):
    """A hand-over of the task became a dead letter; it waits for a redrive or its deadline."""

    type = "interlock.task.parked.v1"

    dead_topic: str
    letter_id: EventId
    after_decision: bool
    code: str
    reason: str


class TaskStarted(TaskEvent):
    """An attempt at the upstream begins."""

    type = "interlock.task.started.v1"

    attempt: int


class TaskProgressed(TaskEvent):
    """The upstream told how far it is. A stale one, by (attempt, seq), moves nothing."""

    type = "interlock.task.progressed.v1"

    attempt: int
    seq: int
    message: str = ""
    progress: float | None = None
    total: float | None = None


class TaskLogged(TaskEvent):
    """The upstream logged something for the client that called (MCP `notifications/message`).

    It is nobody's progress: it changes nothing about where the task stands.
    """

    type = "interlock.task.logged.v1"

    attempt: int
    seq: int
    """Counted with those of `TaskProgressed`, and of `TaskInputRequired`, of the same attempt."""
    entry: str
    """The notification's `params`, exact JSON text."""


class TaskInputRequired(TaskEvent):
    """The upstream wants answers before it goes on. They are the task's round after this one.

    Who gives them answers each key; the grant of that round brings them to the upstream. A stale
    one is dropped by (round, attempt, seq).
    """

    type = "interlock.task.input_required.v1"

    attempt: int
    seq: int
    requests: str
    """What is asked for, by key: `{key: {"method": …, "params": …}}` (MCP 2026-07-28,
    `inputRequests`), exact JSON text; `{}` where the upstream only wants to be asked again."""


class TaskSucceeded(TaskEvent):
    """The upstream answered. `is_error`: the tool itself says that it failed (MCP `isError`)."""

    type = "interlock.task.succeeded.v1"

    result: str
    """The exact JSON text of the result."""
    is_error: bool = False
    attempts: tuple[Attempt, ...] = ()


class TaskFailed(TaskEvent):
    """The task surely ended without an answer of the tool."""

    type = "interlock.task.failed.v1"

    code: str
    """`expired`, `unreachable`, `upstream_error`, `stale`, …"""
    reason: str
    error: str | None = None
    """The upstream's JSON-RPC error as JSON text, where it gave one."""
    attempts: tuple[Attempt, ...] = ()


class TaskCancelled(TaskEvent):
    """The task was stopped before it had an effect, or the upstream confirmed the stop."""

    type = "interlock.task.cancelled.v1"

    by: Principal
    reason: str = ""
    attempts: tuple[Attempt, ...] = ()


class TaskUnknown(TaskEvent):
    """The call may or may not have had its effect; nobody will repeat it blindly."""

    type = "interlock.task.unknown.v1"

    code: str
    reason: str
    attempts: tuple[Attempt, ...] = ()


class Settlement(StrEnum):
    """What an unknown outcome turned out to be."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TaskSettled(TaskEvent):
    """Somebody found out how an unknown task had ended."""

    type = "interlock.task.settled.v1"

    outcome: Settlement
    by: Principal
    reason: str = ""
    result: str | None = None


class DoorRefused(Fact):
    """A door turned a request away. Unauthenticated callers are counted, tenant `-`."""

    type = "interlock.door.refused.v1"
    topic = Topic.TASK_EVENTS

    tenant: str
    door: str
    request_id: str
    code: str
    reason: str
    principal: Principal | None = None
    server: str | None = None
    tool: str | None = None
    count: int = 1

    @property
    def tenant_id(self) -> str:
        return self.tenant

    @property
    def subject(self) -> str:
        return self.request_id
