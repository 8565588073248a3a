"""Sessions of the SDK: for upstreams of the handshake era, and for those on stdio."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import structlog
from mcp.client.session import IncomingMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    LOG_LEVEL_META_KEY,
    PARSE_ERROR,
    ServerNotification,
)
from pydantic import TypeAdapter, ValidationError

from interlock.contracts.catalogue import Inspection
from interlock.contracts.upstream import TASK_ID_META
from interlock.errors import Refused
from services.invocation.clients import faults
from services.invocation.clients.carrier import SESSION_ENDED, told_by
from services.invocation.clients.conversing import Conversing, greet
from services.invocation.clients.inspecting import inspection_of
from services.invocation.clients.lean import VERSION as MODERN
from services.invocation.clients.lean import answer_of
from services.invocation.clients.line import Line, RawRequest, closed, passing
from services.invocation.clients.port import (
    Connection,
    OnProgress,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
)
from services.invocation.clients.text import Span, compact
from services.invocation.model import CALL

log = structlog.get_logger()
_RESULT: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
OPEN_SECONDS = 30.0
"""For the start of a process and the handshake."""


class Session:
    """One session, shared by all calls under the same connection.

    Everything of it is entered and left by one task of its own, as the SDK's cancel scopes must be.
    """

    def __init__(
        self,
        connection: Connection,
        line: Callable[[Callable[[], None]], Line],
        *,
        handshake: bool,
        capabilities: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._connection = connection
        self._handshake = handshake
        self.capabilities = capabilities
        self._level: str | None = None
        self._over = asyncio.Event()
        self._retired = False
        self._gone = asyncio.Event()
        self._hearing: set[Callable[[ServerNotification], None]] = set()
        self._line = line(self.end)
        self._ready: asyncio.Future[Conversing] = loop.create_future()
        self._task = loop.create_task(self._own(), name=f"session {connection.server}")
        self._task.add_done_callback(self._left)
        self.in_flight = 0
        self.began = self.used = self.ended = self._clock()

    @property
    def over(self) -> bool:
        """Whether it can be used no more."""
        return self._retired or self._over.is_set()

    @property
    def left(self) -> bool:
        """Whether all of it is closed."""
        return self._task.done()

    async def opened(self) -> Conversing:
        """The SDK's session once it can be used. `UpstreamError` or `Refused` if it cannot."""
        with self._in_use():
            return await asyncio.shield(self._ready)

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        """Call once."""
        meta: dict[str, Any] = {**request.meta}
        if request.task_id is not None:
            meta[TASK_ID_META] = request.task_id
        given = json.loads(request.arguments)
        if request.method == CALL:
            given = {"name": request.tool, "arguments": given}
        if request.given is not None:
            given["inputResponses"] = json.loads(request.given)
        if request.request_state is not None:
            given["requestState"] = json.loads(request.request_state)
        params = {**given, "_meta": meta}
        result = await self._request(request.method, params, request.on_progress)
        return answer_of(self._connection, Span(result, compact(result)))

    async def call_alone(self, request: UpstreamCall) -> UpstreamAnswer:
        """Call once; all that the server asks and logs meanwhile belongs to this call."""
        client = await self.opened()
        client.on_ask, client.on_log = request.on_ask, request.on_log
        level = request.client.log_level
        try:
            if (client.protocol_version or "") >= MODERN:
                meta = {**request.meta} | ({LOG_LEVEL_META_KEY: level} if level else {})
                return await self.call(replace(request, meta=meta))
            await self._log_from(client, level)
            return await self.call(request)
        finally:
            client.on_ask = client.on_log = None

    async def _log_from(self, client: Conversing, level: str | None) -> None:
        """Have the server log from that severity on, where it can be told; many cannot."""
        can = client.server_capabilities
        if level is None or level == self._level or can is None or can.logging is None:
            return
        try:
            await self._request("logging/setLevel", {"level": level})
        except UpstreamError as error:
            if error.reach is not Reach.ANSWERED:
                raise error.unsent() from None
        self._level = level

    @contextmanager
    def hearing(self, told: Callable[[ServerNotification], None]) -> Iterator[None]:
        """`told` is called with all that the server says unasked; meanwhile it is in use."""
        self._hearing.add(told)
        try:
            with self._in_use():
                yield
        finally:
            self._hearing.discard(told)

    async def gone(self) -> None:
        """Wait until it can be used no more."""
        await self._gone.wait()

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request that is no task's."""
        return await self._request(method, params)

    async def inspect(self) -> Inspection:
        """What the server says about itself, and all that it offers."""
        client = await self.opened()
        info, can = client.server_info, client.server_capabilities
        said = {
            "serverInfo": info.model_dump() if info else None,
            "capabilities": can.model_dump(by_alias=True, exclude_none=True) if can else None,
            "instructions": client.instructions,
        }
        version = client.protocol_version or ""
        return await inspection_of(self._connection, version, said, self._page)

    def end(self) -> None:
        """Have it closed, by its own task."""
        self._gone.set()
        self._over.set()

    def retire(self) -> None:
        """Have it closed once the calls that it carries have ended."""
        self._retired = True
        self._gone.set()
        if not self.in_flight:
            self.end()

    async def ended_within(self, seconds: float) -> None:
        """Wait until all of it is closed; cancel what is not in time."""
        _, late = await asyncio.wait({self._task}, timeout=seconds)
        if late:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=seconds)

    async def _own(self) -> None:
        reason: Exception | None = None
        async with (
            self._line.streams() as streams,
            Conversing(streams, self.capabilities, self._told) as client,
        ):
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    await greet(client, handshake=self._handshake)
                    if self.capabilities:
                        await self._line.hears()
            # Inside, or it would leave as an exception group of the SDK's.
            except (MCPError, RuntimeError, TimeoutError, ValidationError) as error:
                self._over.set()
                reason = error
            else:
                self._ready.set_result(client)
            await self._over.wait()
        if reason is not None:
            raise reason

    async def _told(self, message: IncomingMessage) -> None:
        if not isinstance(message, Exception):
            for told in list(self._hearing):
                told(message)

    def _left(self, task: "asyncio.Task[None]") -> None:
        self._over.set()
        self._gone.set()
        self.ended = self._clock()
        error = None if task.cancelled() else task.exception()
        if not self._ready.done():
            self._ready.set_exception(self._unopened(error))
            self._ready.exception()  # whoever waits sees it; perhaps nobody does any more
        elif error is not None:
            log.warning("upstream.session_broke", server=self._connection.server, error=repr(error))

    def _unopened(self, error: BaseException | None) -> UpstreamError | Refused:
        """Why no session came about: whatever it was, no call was sent."""
        if isinstance(error, Refused | UpstreamError):
            return error
        if isinstance(error, MCPError) and not closed(error):
            try:
                return told_by(self._connection, error.code, error.message, error.data).unsent()
            except Refused as refused:
                return refused
        why = "it ended" if error is None else str(error) or type(error).__name__
        return UpstreamError(
            Reach.NOT_SENT,
            f"server `{self._connection.server}` could not be opened: {why.lower()}"
            + self._line.last_words(),
        )

    async def _page(self, method: str, cursor: str | None) -> dict[str, Span]:
        params: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        page = await self._request(method, params)
        return {name: Span(value, compact(value)) for name, value in page.items()}

    async def _request(
        self, method: str, params: dict[str, Any], on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        client = await self.opened()
        if self.over:
            raise UpstreamError(
                Reach.NOT_SENT, f"the session of server `{self._connection.server}` has ended"
            )
        with self._in_use():
            try:
                result: dict[str, Any] = await client.send_request(
                    RawRequest(method=method, params=params),
                    _RESULT,
                    progress_callback=None if on_progress is None else passing(on_progress),
                )
            except MCPError as error:
                failed = error
            except ValidationError as error:
                raise faults.unreadable(
                    self._connection, error.errors()[0]["msg"].lower()
                ) from None
            else:
                return result
        raise await self._classified(failed)

    async def _classified(self, error: MCPError) -> UpstreamError:
        if error.code == PARSE_ERROR and error.message.startswith("Failed to parse"):
            return faults.unreadable(self._connection, "it is no JSON-RPC")
        if not closed(error):
            told = told_by(self._connection, error.code, error.message, error.data)
            if told.reach is Reach.NOT_SENT and told.status == SESSION_ENDED:
                self.retire()
            return told
        if not error.message.startswith("SSE"):
            self.end()
            await asyncio.wait({self._task}, timeout=1.0)  # for its last words
        return UpstreamError(
            Reach.LOST,
            f"server `{self._connection.server}` went away before it answered"
            + self._line.last_words(),
        )

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self.used = self._clock()
            if self._retired:
                self.retire()
