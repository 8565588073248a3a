"""The SDK's HTTP client on our own pool: the same guard, the same limits, the same verdicts.

The SDK tells most failures as `-32603` or by tearing its session down with all calls that share it.
So whatever fails here is answered as a JSON-RPC error of our own to that one request.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import httpx2
import orjson
from mcp.client.streamable_http import streamable_http_client
from pydantic import BaseModel, ValidationError

from interlock.contracts.catalogue import HttpConnection
from interlock.errors import Refused
from services.invocation.clients import faults
from services.invocation.clients.dial import read
from services.invocation.clients.events import TooLarge
from services.invocation.clients.port import Connection, Reach, UpstreamError
from services.invocation.clients.process import Streams
from services.invocation.clients.text import LARGEST

FAULT = -1_800_800
"""A code that JSON-RPC leaves to applications (§5.1): the failure is ours to tell."""
HEARS_SECONDS = 2.0
"""For a server to open its stream of news."""
SESSION_ENDED = 404
"""Of a request in a session (MCP 2025-11-25, "Session Management"): it was not executed."""
_PASSED_ON = ("accept", "authorization", "content-type", "last-event-id")


class Fault(BaseModel):
    """`UpstreamError` or `Refused` on its way through the SDK."""

    reach: Reach | None
    status: int | None = None
    retry_after: float | None = None
    challenge: str | None = None
    refused: str | None = None


class HttpLine:
    """The streams of one session over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, connection: Connection) -> None:
        self._carrier = Carrier(http, connection)
        self._connection = connection

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Streams]:
        """Open until left."""
        at, authorization = self._connection.at, self._connection.authorization
        assert isinstance(at, HttpConnection)
        headers = {} if authorization is None else {"Authorization": authorization}
        async with (
            httpx2.AsyncClient(transport=self._carrier, headers=headers, trust_env=False) as http,
            streamable_http_client(at.url, http_client=http, max_sse_event_size=LARGEST) as streams,
        ):
            yield streams

    async def hears(self) -> None:
        """A server that asks before its stream of news is open asks nobody, and waits for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARS_SECONDS):
                await self._carrier.hears()

    def last_words(self) -> str:
        """Nothing more than the error itself says."""
        return ""


class Carrier(httpx2.AsyncBaseTransport):
    """Sends the SDK's requests through aiohttp."""

    def __init__(self, http: aiohttp.ClientSession, connection: Connection) -> None:
        self._http = http
        self._connection = connection
        self._listens = False
        self._hears = asyncio.Event()

    async def hears(self) -> None:
        """Wait for the answer to the stream of news that the SDK opens in a session with an id."""
        if self._listens:
            await self._hears.wait()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The server's answer; where there is none, one that tells why."""
        try:
            answer = await self._handled(request)
        finally:
            if request.method == "GET":
                self._hears.set()
        self._listens |= "mcp-session-id" in answer.headers
        return answer

    async def _handled(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        number = _number(body)
        try:
            answer = await self._answer(request, body)
            if answer.status == 200 and _is_stream(answer):
                return httpx2.Response(200, headers=_told(answer), stream=_Stream(answer))
            try:
                content = await read(answer)
            finally:
                answer.close() if not answer.content.at_eof() else answer.release()
        except TooLarge:
            return _failed(number, faults.too_large(self._connection))
        except (aiohttp.ClientError, OSError) as error:
            return self._broken(number, error)
        if number is None or answer.status == 200:
            status = 502 if 300 <= answer.status < 400 else answer.status
            return httpx2.Response(status, headers=_told(answer), content=content)
        return self._refused(request, number, answer, content)

    async def _answer(self, request: httpx2.Request, body: bytes) -> aiohttp.ClientResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in _PASSED_ON or name.startswith("mcp-")
        }
        return await self._http.request(
            request.method,
            str(request.url),
            data=body or None,
            headers={**headers, "Accept-Encoding": "identity"},
            allow_redirects=False,
        )

    def _broken(self, number: object, error: Exception) -> httpx2.Response:
        try:
            return _failed(number, faults.of_exception(self._connection, error))
        except Refused as refused:
            return _fault(number, refused.detail, Fault(reach=None, refused=refused.code))

    def _refused(
        self,
        request: httpx2.Request,
        number: object,
        answer: aiohttp.ClientResponse,
        content: bytes,
    ) -> httpx2.Response:
        error = faults.of_status(self._connection, answer.status, answer.headers, content)
        if answer.status == SESSION_ENDED and "mcp-session-id" in request.headers:
            error.reach = Reach.NOT_SENT
            error.detail = f"server `{self._connection.server}` had ended the session"
        elif error.error is not None and error.reach is Reach.ANSWERED and not error.unlet:
            told = b'{"jsonrpc":"2.0","id":%s,"error":%s}'
            return _json(told % (orjson.dumps(number), error.error.encode()))
        return _failed(number, error)


def told_by(connection: Connection, code: int, message: str, data: object) -> UpstreamError:
    """The failure that an SDK error carries. Raises `Refused` where that is what it was."""
    if code == FAULT:
        try:
            fault = Fault.model_validate(data)
        except ValidationError:
            return faults.failure(connection, code, message, data)
        if fault.reach is None:
            raise Refused(message, code=fault.refused)
        error = UpstreamError(fault.reach, message)
        error.status, error.retry_after = fault.status, fault.retry_after
        error.challenge = fault.challenge
        return error
    return faults.failure(connection, code, message, data)


class _Stream(httpx2.AsyncByteStream):
    """An answer that arrives in events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error)) from None

    async def aclose(self) -> None:
        self._answer.close()


def _is_stream(answer: aiohttp.ClientResponse) -> bool:
    return answer.content_type == "text/event-stream"


def _told(answer: aiohttp.ClientResponse) -> dict[str, str]:
    wanted = ("Content-Type", "Mcp-Session-Id")
    return {name: answer.headers[name] for name in wanted if name in answer.headers}


def _number(body: bytes) -> object:
    """The id of the request in the body; None where no answer is awaited."""
    message = orjson.loads(body) if body else {}
    return message.get("id") if "method" in message else None


def _failed(number: object, error: UpstreamError) -> httpx2.Response:
    return _fault(
        number,
        error.detail,
        Fault(
            reach=error.reach,
            status=error.status,
            retry_after=error.retry_after,
            challenge=error.challenge,
        ),
    )


def _fault(number: object, message: str, fault: Fault) -> httpx2.Response:
    if number is None:
        return httpx2.Response(502)
    error = {"code": FAULT, "message": message, "data": fault.model_dump(mode="json")}
    return _json(orjson.dumps({"jsonrpc": "2.0", "id": number, "error": error}))


def _json(content: bytes) -> httpx2.Response:
    return httpx2.Response(200, headers={"Content-Type": "application/json"}, content=content)
