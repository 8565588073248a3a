"""How invocation calls an upstream: what goes out, what comes back, what a failure proves."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from interlock.contracts.catalogue import HttpConnection, Inspection, StdioConnection
from interlock.contracts.task import NO_CLIENT, Client
from interlock.contracts.upstream_events import UpstreamList
from services.invocation.decide.authorizing import challenge
from services.invocation.model import CALL, Asks, Challenge

OnProgress = Callable[[float, float | None, str | None], Awaitable[None]]
"""Told `(progress, total, message)`. It holds up the reading of the answer while it runs."""


Place = tuple[str, str, HttpConnection | StdioConnection]
"""Tenant, server, and where it is."""

OnAsk = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Asked `(method, params)` on the upstream's behalf; gives the client's result, or `AskRefused`."""
OnLog = Callable[[object, str], Awaitable[None]]
"""Told `(level, params)`: the severity, and all of the log message as JSON text."""


class AskRefused(Exception):
    """Whoever called cannot be asked that. `detail` is for the upstream."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True)
class Connection:
    """Where an upstream is, and as whom it is called."""

    tenant: str
    server: str
    at: HttpConnection | StdioConnection
    authorization: str | None = field(default=None, repr=False)
    """The value of the HTTP header `Authorization`, fetched by its caller; never logged."""

    @property
    def place(self) -> Place:
        """The upstream itself, whoever calls."""
        return self.tenant, self.server, self.at


@dataclass(frozen=True)
class Wanted:
    """What one wants to hear of an upstream."""

    lists: frozenset[UpstreamList] = frozenset()
    uris: frozenset[str] = frozenset()
    """Resources."""


@dataclass(frozen=True)
class Notice:
    """What an upstream said unasked. An empty one: from now on it is heard."""

    lists: frozenset[UpstreamList] = frozenset()
    uri: str | None = None


Hear = Callable[[Notice], None]


@dataclass(frozen=True)
class StdioCommand:
    """A process that an operator allows as an upstream. A connection only names it."""

    name: str
    command: str
    """A path, or a program on PATH."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Beside the few variables that every process is given."""
    cwd: str | None = None


@dataclass(frozen=True)
class UpstreamCall:
    """One attempt at one tool, or at another method that a task asks for."""

    connection: Connection
    tool: str
    """What is asked for: a tool's or a prompt's name, a resource's URI; empty for a completion."""
    arguments: str
    """The exact JSON text of an object: over HTTP 2026-07-28 these bytes go on the wire.

    A tool's arguments; of any other method its parameters, all but `_meta`.
    """
    timeout: float
    """Seconds, for everything: waiting for a connection, calling, reading the answer."""
    definition: str = ""
    """The tool's approved definition as JSON text: says which arguments are mirrored in headers."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """For MCP `_meta`: `traceparent`, `tracestate`."""
    task_id: str | None = None
    """Sent in `_meta` under `interlock.contracts.upstream.TASK_ID_META`."""
    on_progress: OnProgress | None = None
    method: str = CALL
    client: Client = NO_CLIENT
    """Whose capabilities and log level the upstream is told."""
    given: str | None = None
    """Answers to what the upstream asked for: the exact JSON text of an object."""
    request_state: str | None = None
    """What it wants to be told again with them: exact JSON text."""
    on_ask: OnAsk | None = None
    """Of a client that can be asked while the call goes on."""
    on_log: OnLog | None = None


@dataclass(frozen=True)
class UpstreamAnswer:
    """The tool answered."""

    result: str
    """The MCP `CallToolResult` as JSON text; over HTTP 2026-07-28 the exact text received."""
    is_error: bool
    """The tool itself says that it failed (`isError`)."""
    asks: Asks | None = None
    """No answer yet: the upstream wants input first, and to be called again with it."""


class Reach(StrEnum):
    """How far a failed call came. At-most-once rests on this: in doubt it is `LOST`."""

    NOT_SENT = "not_sent"
    """Surely not executed; a repeat is always safe. No connection (name, address, TLS, pool,
    handshake, process), or one that had ended before anything was written to it; or the server says
    that it did not take the request on: 429, 503 with Retry-After (RFC 9110 §15.6.4), an ended
    session (404, MCP 2025-11-25 "Session Management"), an unsupported protocol version (-32022)."""

    LOST = "lost"
    """Perhaps executed: bytes may have gone out, and what came back proves nothing. Timeout;
    connection reset or closed, also just after the write (a keep-alive connection that the
    server closed just then looks the same as one that it closed after executing); process died;
    5xx without a JSON-RPC answer (a proxy writes 502 and 504 when it has lost the server); 408;
    202; an answer that is too large or unreadable (the tool did run)."""

    ANSWERED = "answered"
    """The server said no, or said nothing that a repeat could change: a JSON-RPC error, a redirect
    (never followed), any other 4xx. -32603 "internal error" too: it is an answer, whatever effect
    it may hide is for the upstream to say, and a blind repeat repairs no broken handler."""


class UpstreamError(Exception):
    """There is no result. `detail` is one sentence for people.

    `error` is the JSON-RPC error as JSON text and `code` its code, where the upstream gave one;
    `status` the HTTP status where that was not 200; `retry_after` is in seconds.
    """

    error: str | None = None
    code: int | None = None
    status: int | None = None
    retry_after: float | None = None
    challenge: str | None = None
    """`WWW-Authenticate`, of a 401 or 403."""

    def __init__(self, reach: Reach, detail: str) -> None:
        super().__init__(detail)
        self.reach = reach
        self.detail = detail

    @property
    def unlet(self) -> Challenge | None:
        """What the server asks for, where it refused for want of it and did nothing."""
        return challenge(self.status, self.challenge)

    def unsent(self) -> "UpstreamError":
        """The same failure of what only prepared the call: nothing was executed."""
        if self.reach is Reach.LOST:
            self.reach = Reach.NOT_SENT
        return self


class Upstream(Protocol):
    """Calls upstreams, one attempt each: whoever calls decides about a repeat.

    Cancelling the caller cancels the call at the upstream. Raises `UpstreamError`, or
    `Refused` where our own rules forbid the call: nothing was sent, and a repeat cannot help
    (codes `unknown_command`, `address_not_allowed`, `bad_connection`).
    """

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        """Call a tool, or another method, once."""
        ...

    async def inspect(self, connection: Connection, seconds: float = 30.0) -> Inspection:
        """What the server says about itself, and all that it offers, as it defines it."""
        ...

    async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
        """Tell `hear` what the server says, until it ends that: then look, and listen again.

        Nothing is repeated that was said before, and servers differ in what they honour. Returns at
        once, and tells nothing, where the server cannot tell.
        """
        ...

    def only(self, wanted: Collection[Place]) -> None:
        """These are all that anybody may call now: what is open to others, and idle, is closed."""
        ...

    async def close(self) -> None:
        """Close all connections; no process is left behind."""
        ...
