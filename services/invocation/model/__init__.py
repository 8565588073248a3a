"""The nouns of invocation: the journal's rows, leases on them, and how attempts end."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from interlock.contracts.access import AgentRecord, RevocationRecord
from interlock.contracts.catalogue import (
    Connection,
    FeatureRecord,
    Inspection,
    ServerRecord,
    ToolRecord,
)
from interlock.contracts.ids import Digest, EventId, TaskId
from interlock.contracts.outcomes import (
    Attempt,
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.requests import InputDenied
from interlock.contracts.task import NO_CLIENT, Client, Principal, Task, digest_of
from interlock.contracts.upstream_events import UpstreamList
from services.invocation.model.rounds import Asks as Asks
from services.invocation.model.rounds import Round as Round
from services.invocation.model.rounds import Wait as Wait

Outcome = TaskSucceeded | TaskFailed | TaskCancelled | TaskDenied | TaskUnknown
Key = tuple[str, TaskId]
"""Tenant and task: what names a row."""
Upstream = tuple[str, str]
"""Tenant and server: what has a limit of calls at once."""


class State(StrEnum):
    """Where a row stands."""

    READY = "ready"
    CLAIMED = "claimed"
    WAITING = "waiting"
    """For input: nobody holds it, and nobody claims it before the input is granted."""
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
    """The task is to stop: somebody wants that, or policy denied its input."""

    by: Principal
    reason: str = ""
    denied: InputDenied | None = None


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
    client: Client = NO_CLIENT
    """Who asks, as far as the upstream may know."""
    given: str | None = None
    """Input for the call that is made next: JSON text of an object."""
    request_state: str | None = None
    """What the upstream wants to be told again with it: JSON text."""

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
    ASKED = "asked"
    """The upstream wants input first (MCP 2026-07-28, `input_required`): the request is not
    completed, so nothing of it was done; it is made again with the input."""


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
    asks: Asks | None = None
    """What it wants, where it asked."""
    told: int = 0
    """The number of the last that was told of it on the way."""


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


@dataclass(frozen=True)
class Challenge:
    """An upstream let nobody in: with what status, and what it asks for (RFC 6750 §3)."""

    status: int
    told: str
    """Its `WWW-Authenticate`."""


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
    error: str | None = None
    """The error of JSON-RPC that says so, as JSON text."""


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


@dataclass(frozen=True)
class Listener:
    """The lease on listening to upstreams. Whoever takes it next has a higher `fence`."""

    owner: str | None
    fence: int
    beat: int
    """Grows while its owner lives."""


@dataclass(frozen=True)
class Lists:
    """What an upstream lists, by digest: whatever order it tells them in, and its keys."""

    digests: Mapping[UpstreamList, Digest]

    @classmethod
    def seen(cls, found: Inspection) -> "Lists":
        """As a look has found them."""
        return cls.of(found.tools, found.prompts, (*found.resources, *found.templates))

    @classmethod
    def pinned(cls, record: ServerRecord) -> "Lists":
        """As the catalogue has them."""
        features = (*record.resources, *record.templates)
        return cls.of(_texts(record.tools), _texts(record.prompts), _texts(features))

    @classmethod
    def of(cls, tools: Iterable[str], prompts: Iterable[str], resources: Iterable[str]) -> "Lists":
        """Of definitions as JSON texts."""
        made = (tools, prompts, resources)
        kinds = (UpstreamList.TOOLS, UpstreamList.PROMPTS, UpstreamList.RESOURCES)
        return cls({kind: _digest(texts) for kind, texts in zip(kinds, made, strict=True)})

    @classmethod
    def read(cls, text: str) -> "Lists":
        """The other way of `text`; what a newer version knows beside them is not ours to tell."""
        kinds = {kind.value for kind in UpstreamList}
        told: dict[str, str] = json.loads(text)
        return cls({UpstreamList(k): Digest(v) for k, v in told.items() if k in kinds})

    def text(self) -> str:
        """To be kept."""
        return json.dumps(self.digests, sort_keys=True)

    def differing(self, other: "Lists") -> frozenset[UpstreamList]:
        """The lists that are not the same."""
        return frozenset(
            kind for kind in UpstreamList if self.digests.get(kind) != other.digests.get(kind)
        )


@dataclass(frozen=True)
class Heard:
    """What was last stated about an upstream."""

    seq: int
    """How many changes of its lists were stated."""
    lists: Lists


def _texts(records: Iterable[ToolRecord | FeatureRecord]) -> list[str]:
    return [one.definition for one in records]


def _digest(texts: Iterable[str]) -> Digest:
    definitions = (json.dumps(json.loads(text), sort_keys=True) for text in texts)
    return digest_of(json.dumps(sorted(definitions)))
