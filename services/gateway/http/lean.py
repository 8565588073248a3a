"""What nearly every request is, without the SDK's detours: one modern `tools/call`, or a list.

Whatever is not plainly that goes to the SDK, which has the errors' words. What goes through here is
answered as the SDK would (`mcp.md` §1.2, §2.2): JSON if the answer comes soon, else a stream.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import orjson
from mcp.types import INTERNAL_ERROR, INVALID_REQUEST
from starlette.requests import Request
from starlette.types import Receive, Send

from interlock.errors import InterlockError, Unavailable
from services.gateway.decide.tell import protocol_error
from services.gateway.handlers.calls import Calls, Wanted
from services.gateway.handlers.listener import Listener
from services.gateway.http.answers import refused
from services.gateway.http.exchange import LOGGED, MODERN, VERSION, Exchange
from services.gateway.http.lists import METHODS, Lists
from services.gateway.http.stream import HEADERS, KEEP_ALIVE, disconnected
from services.gateway.model import Unanswered

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
PARAMS = {"name", "arguments", "_meta"}
RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Lean:
    """Serves plain calls and lists; says of everything else that it did not. Its `send` raises
    `TimeoutError` for a client that takes nothing."""

    calls: Calls
    lists: Lists
    keep_alive: float
    """Seconds between comments on a silent stream."""

    async def __call__(
        self, exchange: Exchange, request: Request, receive: Receive, send: Send
    ) -> bool:
        wanted, headers = exchange.wanted, request.scope["headers"]
        if wanted is None:
            return await self._list(exchange, headers, send)
        if not _plain_call(exchange, wanted, headers):
            return False
        stream = _Answer(exchange.message, send)
        listener = Listener(
            progress=None if stream.token is None else stream.progress,
            logged=None if wanted.means.client.log_level is None else stream.logged,
            reply=exchange.reply,
        )
        running = asyncio.ensure_future(self.calls.answer(exchange.caller, wanted, listener))
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await self._keep(stream, running, gone)
        finally:
            running.cancel()
            gone.cancel()
            await asyncio.gather(running, gone, return_exceptions=True)
        if not running.cancelled():
            if isinstance(error := running.exception(), InterlockError):
                exchange.reply.refuse(error)
            await stream.end(running)
        return True

    async def _list(self, exchange: Exchange, headers: RawHeaders, send: Send) -> bool:
        """A page of a list."""
        message, method = exchange.message, exchange.message.get("method")
        if not isinstance(method, str) or method not in METHODS:
            return False
        if not _plain(message, headers, {"cursor", "_meta"}):
            return False
        cursor = message["params"].get("cursor")
        if not isinstance(cursor, str | None):
            return False
        page = self.lists.page(exchange.caller, exchange.front, method, cursor)
        await _Answer(message, send).tell(page.result(modern=True))
        return True

    async def _keep(
        self, stream: "_Answer", running: "asyncio.Future[str]", gone: "asyncio.Future[None]"
    ) -> None:
        """Until there is a result, or nobody to take it."""
        waiting: set[asyncio.Future[Any]] = {running, gone}
        while not (running.done() or gone.done()):
            await asyncio.wait(
                waiting, timeout=self.keep_alive, return_when=asyncio.FIRST_COMPLETED
            )
            if not (running.done() or gone.done()):
                await stream.keep()


class _Answer:
    """JSON while that is possible; a stream from the first notification, or a silence, on.

    Nothing is queued here: what is told waits until the client has taken what was told before.
    """

    def __init__(self, message: Mapping[str, Any], send: Send) -> None:
        self.token = message["params"]["_meta"].get("progressToken")
        self._id = orjson.dumps(message["id"])
        self._send = send
        self._streams = False
        self._turn = asyncio.Lock()

    async def progress(self, progress: float, total: float | None, message: str) -> None:
        told: dict[str, Any] = {"progressToken": self.token, "progress": progress}
        if total is not None:
            told["total"] = total
        if message:
            told["message"] = message
        await self._notify("notifications/progress", orjson.dumps(told))

    async def logged(self, entry: str) -> None:
        await self._notify(LOGGED, entry.encode())

    async def _notify(self, method: str, params: bytes) -> None:
        told = b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method.encode(), params)
        await self._stream(_frame(told))

    async def keep(self) -> None:
        """Tell that we are still here."""
        await self._stream(KEEP_ALIVE)

    async def _stream(self, part: bytes) -> None:
        async with self._turn:
            if not self._streams:
                self._streams = True
                await self._send(
                    {"type": "http.response.start", "status": 200, "headers": list(HEADERS)}
                )
            await self._write(part)

    async def end(self, running: "asyncio.Future[str]") -> None:
        """The result, or the error where there is none."""
        error = running.exception()
        if error is not None:
            if not isinstance(error, InterlockError):
                raise error
            await self._refuse(error)
            return
        await self.tell(running.result().encode())

    async def tell(self, result: bytes) -> None:
        """The result, JSON text."""
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (self._id, result)
        if self._streams:
            await self._write(_frame(body), more=False)
            return
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _refuse(self, error: InterlockError) -> None:
        code = INTERNAL_ERROR if isinstance(error, Unavailable) else INVALID_REQUEST
        told: dict[str, Any] = {"code": code, "message": error.detail}
        told["data"] = {"code": error.code}
        if isinstance(error, Unanswered):
            told = protocol_error(error.error, modern=True) or told
        body = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (self._id, orjson.dumps(told))
        if self._streams:
            await self._write(_frame(body), more=False)
            return
        plain = refused(error)
        headers = [(b"content-type", b"application/json")]
        headers += [one for one in plain.raw_headers if one[0] == b"retry-after"]
        status = plain.status_code
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def _write(self, body: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _frame(data: bytes) -> bytes:
    """JSON text may be laid out in lines."""
    one = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: message\r\ndata: %b\r\n\r\n" % one


def _plain_call(exchange: Exchange, wanted: Wanted, headers: RawHeaders) -> bool:
    name = exchange.message["params"]["name"]
    return (
        _plain(exchange.message, headers, PARAMS, (b"mcp-name", name.encode()))
        and "x-mcp-header" not in wanted.offer.tool.definition
    )


def _plain(
    message: Mapping[str, Any], headers: RawHeaders, known: Set[str], *more: tuple[bytes, bytes]
) -> bool:
    """A request of 2026-07-28 whose headers say what its body says, and say nothing else."""
    params = message.get("params")
    if not isinstance(params, dict):
        return False
    meta = params.get("_meta")
    return (
        message.get("jsonrpc") == "2.0"
        and _is_id(message.get("id"))
        and isinstance(meta, dict)
        and meta.get(VERSION) == MODERN
        and isinstance(meta.get(CAPABILITIES), dict)
        and _is_id(meta.get("progressToken", 0))
        and params.keys() <= known
        and _routed(headers, (b"mcp-method", message["method"].encode()), *more)
    )


def _routed(headers: RawHeaders, *named: tuple[bytes, bytes]) -> bool:
    said = sorted(one for one in headers if one[0].startswith(b"mcp-"))
    accept = b",".join(value for key, value in headers if key == b"accept")
    return (
        b"application/json" in accept
        and b"text/event-stream" in accept
        and said == [*named, (b"mcp-protocol-version", MODERN.encode())]
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
