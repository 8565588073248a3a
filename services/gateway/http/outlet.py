"""The way out of a response: no client holds it up for long, and its end is known."""

import asyncio
from dataclasses import dataclass

from starlette.types import Message, Receive, Send

from services.gateway.handlers.leases import Leases, Reply
from services.gateway.http.stream import disconnected

TURNS = 4
"""Of the loop, from a connection's loss to whoever waits for it."""


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
        try:
            async with asyncio.timeout(self.slow_reader):
                last = message["type"] == "http.response.body" and not message.get("more_body")
                if last and self.reply.task is not None:
                    await self._last(message)
                else:
                    await self.out(message)
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
