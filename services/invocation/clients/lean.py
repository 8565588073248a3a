"""The plain call of an upstream that speaks MCP 2026-07-28 over HTTP: one POST, one answer.

A tenth of what the SDK's client costs, and the arguments' bytes go out as they came in.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import aiohttp
import orjson
from mcp.shared.inbound import encode_header_value, mcp_param_headers, x_mcp_header_map
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)

from interlock.contracts.catalogue import HttpConnection
from interlock.contracts.task import NO_CLIENT, Client
from interlock.contracts.upstream import TASK_ID_META
from services.invocation.clients import faults
from services.invocation.clients.dial import CONNECT_SECONDS, Body, read
from services.invocation.clients.events import EventReader, TooLarge
from services.invocation.clients.port import (
    Connection,
    OnLog,
    OnProgress,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
)
from services.invocation.clients.text import Span, members
from services.invocation.model import CALL, Asks

VERSION = "2026-07-28"
ACCEPT = "application/json, text/event-stream"
_META: Mapping[str, object] = {
    PROTOCOL_VERSION_META_KEY: VERSION,
    CLIENT_INFO_META_KEY: {"name": "interlock", "version": "1"},
    CLIENT_CAPABILITIES_META_KEY: {},
}


class LeanClient:
    """Calls through one pool of connections, which its owner closes."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._ids = itertools.count(1)

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        """Call once. `UpstreamError` as the port says."""
        meta = {**request.meta}
        if request.task_id is not None:
            meta[TASK_ID_META] = request.task_id
        headers = {"Mcp-Name": encode_header_value(request.tool)} if request.tool else {}
        if request.method == CALL:
            tool = orjson.dumps(request.tool)
            params = b'"name":' + tool + b',"arguments":' + request.arguments.encode() + b","
            headers |= _mirrored(request.definition, request.arguments)
        else:
            params = _spliced(request.arguments)
        if request.given is not None:
            params += b'"inputResponses":' + request.given.encode() + b","
        if request.request_state is not None:
            params += b'"requestState":' + request.request_state.encode() + b","
        told = Told(request.on_progress, request.on_log)
        post = _Post(
            request.method, params, meta, headers, told, request.timeout, client=request.client
        )
        return answer_of(request.connection, await self._send(request.connection, post))

    async def discover(
        self, connection: Connection, seconds: float, *, again: bool = True
    ) -> Mapping[str, Any] | None:
        """What the server says about itself; None if it does not speak this version.

        One that refuses this version, and names it among those that it supports, is asked `again`.
        """
        try:
            result = await self._send(connection, _Post("server/discover", timeout=seconds))
        except UpstreamError as error:
            if again and _supports(error):
                return await self.discover(connection, seconds, again=False)
            if _says_no(error):
                return None
            raise error.unsent() from None
        found = result.value
        versions = found.get("supportedVersions") if isinstance(found, dict) else None
        return found if isinstance(versions, list) and VERSION in versions else None

    async def page(
        self, connection: Connection, method: str, cursor: str | None, seconds: float
    ) -> dict[str, Span]:
        """One page of a list: the members of its result."""
        params = b"" if cursor is None else b'"cursor":' + orjson.dumps(cursor) + b","
        found = await self._send(connection, _Post(method, params, timeout=seconds))
        try:
            return members(found.text)
        except ValueError as error:
            raise faults.unreadable(connection, str(error)) from None

    async def _send(self, connection: Connection, post: "_Post") -> Span:
        assert isinstance(connection.at, HttpConnection)
        body = Body(post.body(next(self._ids)))
        try:
            async with self._http.post(
                connection.at.url,
                data=body,
                headers=post.headers(connection),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=min(CONNECT_SECONDS, post.timeout / 2)
                ),
            ) as answer:
                if answer.status != 200:
                    told = await read(answer)
                    raise faults.of_status(connection, answer.status, answer.headers, told)
                if answer.content_type == "text/event-stream":
                    return await _streamed(connection, answer, post.told)
                return _result(connection, _message(connection, await read(answer)))
        except TooLarge:
            raise faults.too_large(connection) from None
        except (aiohttp.ClientError, OSError) as error:
            raise faults.of_exception(connection, error, body.sent) from None


class Told(NamedTuple):
    """Who is told what a stream says before its answer."""

    progress: OnProgress | None = None
    log: OnLog | None = None


NOBODY = Told()


@dataclass(frozen=True)
class _Post:
    """One request as it goes on the wire."""

    method: str
    params: bytes = b""
    """Members of `params` as JSON text, each with a comma after it."""
    meta: Mapping[str, str] = field(default_factory=dict)
    more_headers: Mapping[str, str] = field(default_factory=dict)
    told: Told = NOBODY
    timeout: float = 30.0
    client: Client = NO_CLIENT

    def body(self, number: int) -> bytes:
        """The JSON-RPC request; the parameters' text is spliced in as it is."""
        meta: dict[str, object] = {**self.meta, **_META}
        if self.told.progress is not None:
            meta["progressToken"] = number
        if self.client.capabilities != "{}":
            meta[CLIENT_CAPABILITIES_META_KEY] = orjson.Fragment(self.client.capabilities)
        if self.client.log_level is not None:
            meta[LOG_LEVEL_META_KEY] = self.client.log_level
        return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s"_meta":%s}}' % (
            number,
            self.method.encode(),
            self.params,
            orjson.dumps(meta),
        )

    def headers(self, connection: Connection) -> dict[str, str]:
        """Of MCP 2026-07-28, "Streamable HTTP": the body's routing, mirrored."""
        headers = {
            "Accept": ACCEPT,
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": self.method,
            **self.more_headers,
        }
        if connection.authorization is not None:
            headers["Authorization"] = connection.authorization
        return headers


def answer_of(connection: Connection, result: Span) -> UpstreamAnswer:
    """A result, told by its text."""
    if not isinstance(result.value, dict):
        raise faults.unreadable(connection, "its result is not an object")
    kind = result.value.get("resultType", "complete")
    if kind == "input_required":
        return UpstreamAnswer(result.text, is_error=False, asks=_asks(connection, result))
    if kind != "complete":
        raise UpstreamError(
            Reach.ANSWERED,
            f"server `{connection.server}` answered with a result of type `{kind}`, which nobody "
            "asked for",
        )
    return UpstreamAnswer(result.text, result.value.get("isError") is True)


def _asks(connection: Connection, result: Span) -> Asks:
    """What the server wants to know (MCP 2026-07-28, "Multi Round-Trip Requests")."""
    said = members(result.text)
    requests, state = said.get("inputRequests"), said.get("requestState")
    fits = requests is None or isinstance(requests.value, dict)
    if not fits or (requests is None and state is None):
        raise faults.unreadable(connection, "it asks for input and does not say which")
    return Asks("{}" if requests is None else requests.text, state.text if state else None)


async def _streamed(connection: Connection, answer: aiohttp.ClientResponse, told: Told) -> Span:
    """The result on a stream; its progress, and what it logs, passed on before."""
    events = EventReader()
    async for chunk in answer.content.iter_any():
        for data in events.feed(chunk):
            message = _message(connection, data)
            if "method" not in message:
                return _result(connection, message)
            method = message["method"].value
            if told.progress is not None and method == "notifications/progress":
                await _progressed(message.get("params"), told.progress)
            elif told.log is not None and method == "notifications/message":
                await _logged(message.get("params"), told.log)
    raise UpstreamError(
        Reach.LOST, f"server `{connection.server}` ended its stream without an answer"
    )


async def _progressed(params: Span | None, on_progress: OnProgress) -> None:
    told = params.value if params is not None else None
    if isinstance(told, dict) and isinstance(told.get("progress"), int | float):
        total, message = told.get("total"), told.get("message")
        await on_progress(
            told["progress"],
            total if isinstance(total, int | float) else None,
            message if isinstance(message, str) else None,
        )


async def _logged(params: Span | None, on_log: OnLog) -> None:
    if params is not None and isinstance(params.value, dict):
        await on_log(params.value.get("level"), params.text)


def _message(connection: Connection, data: bytes) -> dict[str, Span]:
    try:
        return members(data.decode())
    except ValueError as error:
        raise faults.unreadable(connection, str(error)) from None


def _result(connection: Connection, message: dict[str, Span]) -> Span:
    if "error" in message:
        raise faults.of_span(connection, message["error"])
    if "result" not in message:
        raise faults.unreadable(connection, "it has neither result nor error")
    return message["result"]


def _spliced(arguments: str) -> bytes:
    """The members of an object's text, with a comma after them, to stand among others."""
    inner = arguments.strip()[1:-1].strip()
    return f"{inner},".encode() if inner else b""


def _supports(error: UpstreamError) -> bool:
    """Whether a server that refuses this version says in the same breath that it speaks it."""
    if error.code != faults.UNSUPPORTED_VERSION or error.error is None:
        return False
    data = orjson.loads(error.error).get("data")
    supported = data.get("supported") if isinstance(data, dict) else None
    return isinstance(supported, list) and VERSION in supported


def _says_no(error: UpstreamError) -> bool:
    """Whether it is the server that does not know `server/discover`, rather than being away."""
    if error.unlet is not None:
        return False
    if error.code is not None:
        return error.retry_after is None
    return error.reach is not Reach.NOT_SENT and error.status not in {None, 401, 403}


def _mirrored(definition: str, arguments: str) -> dict[str, str]:
    """`Mcp-Param-*` headers, for the few tools that annotate arguments with `x-mcp-header`."""
    if "x-mcp-header" not in definition:
        return {}
    return mcp_param_headers(_annotations(definition), orjson.loads(arguments))


@lru_cache(maxsize=1024)
def _annotations(definition: str) -> dict[tuple[str, ...], str]:
    return x_mcp_header_map(orjson.loads(definition).get("inputSchema"))
