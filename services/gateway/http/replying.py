"""The response to one request that becomes a task, of either era."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.types import Send

from interlock.errors import InterlockError, Unavailable
from services.gateway.decide.tell import protocol_error
from services.gateway.decide.text import raw
from services.gateway.http.answers import frame, refused
from services.gateway.http.codes import INTERNAL_ERROR, INVALID_REQUEST
from services.gateway.http.exchange import LOGGED
from services.gateway.http.stream import HEADERS, KEEP_ALIVE
from services.gateway.model import Unanswered


class Replying:
    """JSON while that is possible; a stream from the first message, or a silence, on.

    Nothing is queued here: what is told waits until the client has taken what was told before.
    """

    def __init__(self, message: Mapping[str, Any], send: Send, *, modern: bool) -> None:
        meta = message.get("params", {}).get("_meta") or {}
        self.token = meta.get("progressToken")
        self.modern = modern
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
        await self._put({"method": "notifications/progress", "params": told})

    async def logged(self, entry: str) -> None:
        await self._put({"method": LOGGED, "params": raw(entry)})

    async def ask(self, request_id: str, request: Mapping[str, Any]) -> None:
        """Put a request of the server's to the client, which answers it by a POST of its own."""
        await self._put({"id": request_id, **request})

    async def withdraw(self, request_id: str) -> None:
        """Nobody waits for the answer any more (MCP 2025-11-25, "Cancellation")."""
        params = {"requestId": request_id, "reason": "the call has ended"}
        await self._put({"method": "notifications/cancelled", "params": params})

    async def keep(self) -> None:
        """Tell that we are still here."""
        await self._stream(KEEP_ALIVE)

    async def _put(self, told: Mapping[str, Any]) -> None:
        await self._stream(frame(orjson.dumps({"jsonrpc": "2.0", **told})))

    async def _stream(self, part: bytes) -> None:
        async with self._turn:
            if not self._streams:
                self._streams = True
                await self._send(
                    {"type": "http.response.start", "status": 200, "headers": list(HEADERS)}
                )
            await self._write(part)

    async def tell(self, result: bytes) -> None:
        """The result, JSON text."""
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (self._id, result)
        await self._close(body, HTTPStatus.OK)

    async def refuse(self, error: InterlockError) -> None:
        """The error, where there is no result.

        Until 2025-11-25 an error of JSON-RPC is no error of HTTP; that nothing was done, is.
        """
        code = INTERNAL_ERROR if isinstance(error, Unavailable) else INVALID_REQUEST
        told: dict[str, Any] = {"code": code, "message": error.detail}
        told["data"] = {"code": error.code}
        if isinstance(error, Unanswered):
            told = protocol_error(error.error, modern=self.modern) or told
        body = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (self._id, orjson.dumps(told))
        http = refused(error)
        plainly = self.modern or isinstance(error, Unavailable)
        retry = [one for one in http.raw_headers if one[0] == b"retry-after"]
        await self._close(body, http.status_code if plainly else HTTPStatus.OK, *retry)

    async def _close(self, body: bytes, status: int, *headers: tuple[bytes, bytes]) -> None:
        if self._streams:
            await self._write(frame(body), more=False)
            return
        about = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": about})
        await self._send({"type": "http.response.body", "body": body})

    async def _write(self, body: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
