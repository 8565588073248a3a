"""The nouns of invocation: the journal's rows, leases on them, and how attempts end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from interlock.contracts.access import AgentRecord, RevocationRecord
from interlock.contracts.catalogue import Connection, ServerRecord
from interlock.contracts.ids import Digest, EventId, TaskId
from interlock.contracts.outcomes import (
    Attempt,
    TaskCancelled,
    TaskFailed,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Principal, Task

Outcome = TaskSucceeded | TaskFailed | TaskCancelled | TaskUnknown
Key = tuple[str, TaskId]
"""Tenant and task: what names a row."""
Upstream = tuple[str, str]
"""Tenant and server: what has a limit of calls at once."""


class State(StrEnum):
    """Where a row stands."""

    READY = "ready"
    CLAIMED = "claimed"
    ENDED = "ended"


@dataclass(frozen=True)
class Lease:
    """The right to execute one row. Whoever claims it next has a higher `fence`."""

    tenant: str
    task_id: TaskId
    owner: str | None
    """None: nobody holds it; then a write only counts while nobody claimed it."""
    fence: int

    @property
    def key(self) -> Key:
        return self.tenant, self.task_id


@dataclass(frozen=True)
class Control:
    """Somebody wants the task to stop."""

    by: Principal
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """A row as whoever executes or ends it needs it."""

    task: Task
    arguments: str
    tool_digest: Digest | None
    cause: EventId | None
    """The event that authorized it."""
    traceparent: str | None
    lease: Lease
    attempt: int
    """The attempt for which it is claimed, from 1; while ready, the last one."""
    attempts: tuple[Attempt, ...]
    """Those that ended."""
    accepted_at: datetime
    claimed_at: datetime

    @property
    def upstream(self) -> Upstream:
        return self.task.tenant, self.task.server


class How(StrEnum):
    """How one attempt ended. The values are those of `Attempt.outcome`."""

    ANSWERED = "answered"
    """The upstream gave a result."""
    ERROR = "error"
    """The upstream answered that it will not (JSON-RPC error), or our own rules forbid the call."""
    NOT_SENT = "not_sent"
    """Surely not executed: a repeat is always safe."""
    LOST = "lost"
    """Perhaps executed."""


@dataclass(frozen=True)
class Try:
    """One attempt, as it ended."""

    how: How
    detail: str = ""
    code: str = "upstream_error"
    """Of the task's failure, where the attempt ends it with `ERROR`."""
    result: str | None = None
    """Exact JSON text, where it was answered."""
    is_error: bool = False
    error: str | None = None
    """The upstream's JSON-RPC error as JSON text."""
    retry_after: float = 0.0
    """Seconds for which the upstream asked to be left alone."""


@dataclass(frozen=True)
class Terms:
    """What decides between another attempt and the end."""

    repeatable: bool
    most_attempts: int
    pause: float
    """Seconds before another attempt, jitter included."""
    control: Control | None = None


@dataclass(frozen=True)
class Again:
    """The row is ready once more."""

    not_before: datetime
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class World:
    """What published state says about one job at this moment."""

    server: ServerRecord | None
    agent: AgentRecord | None
    revocations: Mapping[str, RevocationRecord]


CALL = "tools/call"


class Target(NamedTuple):
    """A method of MCP, and what it is asked for by name."""

    method: str
    name: str


@dataclass(frozen=True)
class Call:
    """What is to be called, and how."""

    connection: Connection
    timeout: float
    """Seconds."""
    repeatable: bool
    definition: str = ""
    """The tool's, as it was approved."""
    target: Target | None = None
    """None for an inspection."""


@dataclass(frozen=True)
class Unfit:
    """Why an authorized task may not run any more, or not here."""

    code: str
    reason: str


@dataclass(frozen=True)
class Limits:
    """How much at once, how often, how long."""

    total: int = 256
    per_server: int = 32
    attempts: int = 4
    first_pause: float = 0.2
    longest_pause: float = 10.0
    lease_seconds: float = 3.0
    result_bytes: int = 1024 * 1024
    keep_days: float = 30.0
