"""The way out of a response: no client holds it up for long, and its end is known."""

import asyncio
from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Send

from services.gateway.handlers.leases import Leases, Reply
from services.gateway.http.stream import disconnected

TURNS = 4
"""Of the loop, from a connection's loss to whoever waits for it."""


class _Begun:
    """Work as far as it goes without waiting: to its end, most often, and then nothing need be set
    up to watch it. Awaiting this is awaiting the rest."""

    def __init__(self, work: Awaitable[None]) -> None:
        self._rest = work.__await__()
        self._waits_for: Any = None
        self.done = False
        try:
            self._waits_for = next(self._rest)
        except StopIteration:
            self.done = True

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
        except BaseException:
            self._rest.close()
            raise
        yield from self._rest


@dataclass(slots=True)
class Outlet:
    """Sends one response."""

    reply: Reply
    leases: Leases
    receive: Receive
    out: Send
    slow_reader: float
    """Seconds."""

    async def send(self, message: Message) -> None:
        """`TimeoutError` if the client takes nothing for too long: its stream ends, nothing else.

        What waits for that client is what the server's transport holds, 64 KiB.
        """
        last = message["type"] == "http.response.body" and not message.get("more_body")
        sending = self._last(message) if last and self.reply.task is not None else self.out(message)
        begun = _Begun(sending)
        if begun.done:
            return
        try:
            async with asyncio.timeout(self.slow_reader):
                await begun
        except TimeoutError:
            self.reply.ended_by_us = True
            raise

    async def _last(self, message: Message) -> None:
        """The call's lease ends when all was handed to a socket that is connected still: before
        its client can ask for anything else. Each sending waits until the ones before are out."""
        await self.out({**message, "more_body": True})
        await self.out({"type": "http.response.body", "body": b"", "more_body": True})
        gone = asyncio.ensure_future(disconnected(self.receive))
        try:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if not gone.done():
                self.leases.let_go(self.reply, written=True)
        finally:
            gone.cancel()
        await self.out({"type": "http.response.body", "body": b"", "more_body": False})
