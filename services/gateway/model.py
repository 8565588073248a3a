"""The gateway's nouns: a task as its clients see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from interlock.bus import Raw
from interlock.contracts.catalogue import FeatureRecord, ServerRecord, ToolRecord
from interlock.contracts.ids import QUALIFIER, EventId
from interlock.contracts.task import (
    NO_CLIENT,
    Client,
    Principal,
    Task,
    TaskEvent,
    TaskKind,
    TaskState,
)
from interlock.errors import Refused


class Place(NamedTuple):
    """Where a task's snapshot is."""

    tenant: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Happened:
    """A fact about a task, as it came from the bus. `body` is its exact bytes."""

    id: EventId
    fact: TaskEvent
    time: datetime
    body: bytes

    @property
    def place(self) -> Place:
        return Place(self.fact.task.tenant, self.fact.task.id)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A task as it stands: what the facts known so far add up to, in whatever order they came."""

    task: Task
    state: TaskState
    rank: str
    """Where `fact` stands among all that may happen to a task; see `decide.merge`."""
    created_at: datetime
    updated_at: datetime
    fact: TaskEvent | None = None
    """The highest in rank."""
    fact_id: str = ""
    answers: str = ""
    """What was answered so far of what the upstream asks: members of a JSON object, each with a
    comma behind it."""

    @property
    def place(self) -> Place:
        return Place(self.task.tenant, self.task.id)

    @property
    def final(self) -> bool:
        return self.state.final


@dataclass(frozen=True, slots=True)
class Milestone:
    """An entry of a task's log. `number` counts from 1 and is the id of the server-sent event."""

    number: int
    type: str
    time: datetime
    fact: TaskEvent | None
    """None where the snapshot holds it, or where a newer version wrote it."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A task that was accepted, and its request as it must go out, byte for byte."""

    place: Place
    raw: Raw
    round: int = 0


class Sent(NamedTuple):
    """A request that the bus has: round 0, or input given later."""

    place: Place
    round: int = 0


class Request(NamedTuple):
    """What later rounds of a task bring along."""

    arguments: str
    """Exact JSON text."""
    client: Client


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Equal calls are there, and whether anybody waits for them is not certain yet."""

    since: int
    """Whoever waits shows life after that: milliseconds on the store's clock. Ask again with it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A request that is made again, with what its first answer asked for."""

    state: str
    """As it was handed out."""
    answers: Mapping[str, str]
    """JSON texts by key."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a request's client says that it can do, and brings along."""

    client: Client = NO_CLIENT
    route: str = "/mcp"
    """The path by which it came."""
    retry: Retry | None = None
    pushes: bool = False
    """It is asked in the middle of its call, on the call's stream: it has a session."""


NO_MEANS = Means()


@dataclass(frozen=True, slots=True)
class Session:
    """What is remembered of an older client (MCP 2025-11-25, "Session Management")."""

    id: str
    """As its client has it; nobody else does."""
    principal: Principal
    """Who opened it, and alone finds it."""
    route: str
    """The path of the endpoint that it is of."""
    client: Client
    resources: frozenset[str] = frozenset()
    """Those that it listens to, as the client calls them."""
    stream: str = ""
    """Which of its streams is told what the server says unasked: the newest."""


class Front(NamedTuple):
    """What a route of MCP shows: one server, one toolset, or all of the caller's catalogue."""

    server: str | None = None
    toolset: str | None = None

    @property
    def path(self) -> str:
        """Of its endpoint. Names may be any text, and it stands in headers."""
        if self.server is not None:
            return f"/servers/{quote(self.server, safe='')}/mcp"
        if self.toolset is not None:
            return f"/toolsets/{quote(self.toolset, safe='')}/mcp"
        return "/mcp"


ALL = Front()


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool of a server."""

    server: ServerRecord
    tool: ToolRecord

    @property
    def qualified(self) -> str:
        """Its name where many servers share one list."""
        return f"{self.server.name}{QUALIFIER}{self.tool.name}"

    @property
    def kind(self) -> TaskKind:
        return TaskKind.CALL

    @property
    def tool_name(self) -> str | None:
        return self.tool.name

    @property
    def told(self) -> str:
        return f"tool `{self.tool.name}` of server `{self.server.name}`"

    @property
    def scopes(self) -> tuple[str, ...]:
        return self.server.scopes_for(self.tool)


@dataclass(frozen=True, slots=True)
class Feature:
    """Something of a server beside its tools that is asked for: its server's scopes govern it."""

    server: ServerRecord
    kind: TaskKind
    """`read`, `prompt` or `complete`."""
    name: str
    """The resource's URI or the prompt's name, as the upstream knows it."""

    @property
    def qualified(self) -> str:
        return f"{self.server.name}{QUALIFIER}{self.name}"

    @property
    def tool_name(self) -> str | None:
        return None

    @property
    def told(self) -> str:
        return f"`{self.kind}` of `{self.name[:200]}` of server `{self.server.name}`"

    @property
    def scopes(self) -> tuple[str, ...]:
        return self.server.required_scopes


class Listed(NamedTuple):
    """What a list shows of a server: a resource, a template or a prompt."""

    server: ServerRecord
    record: FeatureRecord


class Unanswered(Refused):
    """A task ended without anything that its client could take for a result.

    `error` is the upstream's own JSON-RPC error as JSON text, where it gave one.
    """

    code = "unanswered"

    def __init__(self, detail: str, error: str | None, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.error = error


class TurnedAway(Unanswered):
    """No task ended: it is the door's own no, with its error in JSON-RPC's form."""
