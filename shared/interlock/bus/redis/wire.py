"""The stream below a connection: bytes in, answers out, in their order.

redis-py connects, says who we are and speaks TLS; from then on its reader would cost more for an
answer than the answer's own reading, so the transport is handed to this protocol.
"""

import asyncio
from contextlib import suppress
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse

_PARTIAL = object()
LAST_SECONDS = 1.0
"""For a transport that was cut to be gone."""


class Wire(asyncio.Protocol):
    """One connection's. Whoever asks for answers is the only one who does."""

    def __init__(self, transport: asyncio.Transport, parser: Any) -> None:
        self._transport = transport
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=parser.parse_error, notEnoughData=_PARTIAL
        )
        self._answers: list[Any] = []
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._over = asyncio.Event()
        self._broken: Exception | None = None
        self._due = self._looks_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        transport.set_protocol(self)

    def write(self, packed: bytes) -> bool:
        """Whether the transport can take more; else `room` says when."""
        if self._broken is not None:
            raise self._broken
        self._transport.write(packed)
        return self._room.is_set()

    async def room(self) -> None:
        """Return once the transport can take more."""
        await self._room.wait()
        if self._broken is not None:
            raise self._broken

    async def answers(self, count: int, within: float) -> list[Any]:
        """The next `count`; errors among them are exceptions. `TimeoutError` after that time."""
        if len(self._answers) < count:
            if self._broken is not None:
                raise self._broken
            self._wanted = count
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            self._look_by(loop, loop.time() + within)
            try:
                await self._waiter
            finally:
                self._waiter = None
        found = self._answers[:count]
        del self._answers[:count]
        return found

    def _look_by(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """One timer stays for many waits: set and cancelled for each it would cost more than what
        it watches. It is set anew only where it would come too late."""
        self._due = due
        if self._look is not None and self._looks_at > due:
            self._look.cancel()
            self._look = None
        if self._look is None:
            self._looks_at = due
            self._look = loop.call_at(due, self._looked, loop)

    def _looked(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = None
        if self._waiter is None or self._waiter.done():
            return
        if loop.time() < self._due:
            self._look_by(loop, self._due)
        else:
            self._waiter.set_exception(TimeoutError())

    async def cut(self) -> None:
        """End it now, whatever is still on its way; returns when its socket is closed."""
        self._transport.abort()
        with suppress(TimeoutError):  # it was over before it was ours
            async with asyncio.timeout(LAST_SECONDS):
                await self._over.wait()

    # -- what the transport tells ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _PARTIAL:
                if not isinstance(answer, hiredis.PushNotification):
                    self._answers.append(answer)
        except InvalidResponse as error:
            self._end(error)
            self._transport.abort()
            return
        if self._waiter is not None and len(self._answers) >= self._wanted:
            if not self._waiter.done():
                self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or Disconnected("Connection closed by server."))
        self._over.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def _end(self, error: Exception) -> None:
        self._broken = self._broken or error
        self._room.set()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._broken)
