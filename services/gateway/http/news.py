"""The stream of a session (MCP 2025-11-25, "Listening for Messages from the Server"): what its
server says unasked, which lists have changed and which of the resources it subscribed to."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interlock.errors import InterlockError, Refused, Unavailable
from interlock.identity.tokens import Caller
from services.gateway.handlers.changes import Changes
from services.gateway.handlers.sessions import Sticky
from services.gateway.http.answers import frame, refused
from services.gateway.http.stream import HEADERS, KEEP_ALIVE, while_connected
from services.gateway.model import Front, Session

LOOK_SECONDS = 1.0
"""Between two looks at whether the session is there still, and what it listens to."""


@dataclass(frozen=True)
class Streams:
    """Makes them. Times in seconds."""

    sticky: Sticky
    changes: Changes
    keep_alive: float
    slow_reader: float

    def of(self, caller: Caller, front: Front, session: Session) -> Response:
        """The session's stream from now on; the one before ends."""
        return _Stream(self, caller, front, session)


class _Stream(Response):
    """Ends with the session, with a newer stream of it, with the caller's access, or the process.

    What has changed is told once, however often it has while the client took nothing.
    """

    def __init__(self, made: Streams, caller: Caller, front: Front, session: Session) -> None:
        super().__init__()
        self._made = made
        self._caller = caller
        self._front = front
        self._session = session
        self._untold: dict[tuple[str, str], None] = {}
        self._news = asyncio.Event()
        self._over = False
        self._quiet_until = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes = self._made.changes
        try:
            with changes.listening(self._caller, self._front, self._list_changed, self._end):
                self._session = await self._made.sticky.take_stream(self._session)
                await while_connected(self._write(send), receive)
        except InterlockError as error:
            await refused(error)(scope, receive, send)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        with suppress(TimeoutError, Unavailable):
            await self._send(send, b"", more=True)
            while await self._listen(send):
                pass
            await self._send(send, b"", more=False)

    async def _listen(self, send: Send) -> bool:
        """Tell the news until the session listens to something else; False if it has ended."""
        subscriptions, uris = self._made.sticky.subscriptions, self._session.resources
        wishes = await subscriptions.granted(self._caller, self._front, [*uris])
        listening = subscriptions.listening(self._caller, wishes, self._resource_updated)
        async with listening:
            while self._session.resources == uris:
                await self._tell(send)
                if self._over or not await self._stands():
                    return False
        return True

    async def _stands(self) -> bool:
        """Look at the session again: it is there, and this is its newest stream."""
        stream = self._session.stream
        try:
            self._session = await self._made.sticky.find(
                self._caller, self._front, self._session.id
            )
        except Refused:
            return False
        return self._session.stream == stream

    async def _tell(self, send: Send) -> None:
        """What there is to tell, or comes up within a look's time."""
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._news.wait()
        self._news.clear()
        told = b""
        while self._untold:
            kind, name = next(iter(self._untold))
            del self._untold[kind, name]
            told += _notification(kind, name)
        if told or clock() >= self._quiet_until:
            await self._send(send, told or KEEP_ALIVE, more=True)

    async def _send(self, send: Send, part: bytes, *, more: bool) -> None:
        """`TimeoutError` if the client takes nothing for too long."""
        async with asyncio.timeout(self._made.slow_reader):
            await send({"type": "http.response.body", "body": part, "more_body": more})
        self._quiet_until = asyncio.get_running_loop().time() + self._made.keep_alive

    def _list_changed(self, name: str) -> None:
        self._note(f"notifications/{name}/list_changed", "")

    def _resource_updated(self, uri: str) -> None:
        self._note("notifications/resources/updated", uri)

    def _note(self, kind: str, name: str) -> None:
        self._untold[kind, name] = None
        self._news.set()

    def _end(self) -> None:
        self._over = True
        self._news.set()


def _notification(method: str, uri: str) -> bytes:
    told: Mapping[str, Any] = {"jsonrpc": "2.0", "method": method}
    return frame(orjson.dumps({**told, "params": {"uri": uri}} if uri else told))
