"""One connection to Redis, used bare: commands leave in one write, answers come in order.

redis-py's own pipelines cost more than the bus's whole budget for a message (measured in
`tests/bench/bus.py`), so commands are packed by hiredis and answers are read off the transport;
connecting, authentication and TLS stay redis-py's.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio as aioredis
from hiredis import pack_command
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from interlock.bus.redis.wire import Wire
from interlock.errors import Unavailable

Client = Any
"""`redis.asyncio.Redis`, whose connections are not typed."""
Command = tuple[Any, ...]
"""Of `str`, `bytes` and `int`."""

PATIENCE = 10.0
"""Seconds within which a server that is there answers anything that does not block."""

AWAY = (RedisError, OSError, TimeoutError)
"""Whatever keeps Redis from serving us."""


def client_of(url: str) -> Client:
    """As every process has one; it connects when it is first asked.

    A time limit for sockets would wrap each send in `wait_for`: a task each, and on Python 3.11 a
    cancellation is lost where the send ends at that moment.
    """
    return aioredis.from_url(
        url, retry=Retry(NoBackoff(), 1), socket_connect_timeout=5, socket_timeout=None
    )


def refused(error: Exception) -> Unavailable:
    """What to say for one of those, or for an answer that says no."""
    return Unavailable(f"the bus does not serve: {_words(error)}")


def _words(error: Exception) -> str:
    return f"`{str(error) or type(error).__name__}`"


class Line:
    """Not shared: who sends also reads the answers before anything else is sent."""

    def __init__(self, client: Client) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None
        self._wire: Wire | None = None

    async def ask(self, *commands: Command, within: float = PATIENCE) -> list[Any]:
        """Answers of all commands; a refused one's answer is its `ResponseError`."""
        if not commands:
            return []
        await self.send(commands)
        return await self.answers(len(commands), within)

    async def send(self, commands: Sequence[Command]) -> None:
        """Write them at once."""
        await self.write(b"".join([pack_command(command) for command in commands]))

    async def write(self, packed: bytes) -> None:
        """Write commands that are packed already; connects where that is needed."""
        try:
            wire = self._wire or await self._connected()
            if packed and not wire.write(packed):
                async with asyncio.timeout(PATIENCE):
                    await wire.room()
        except AWAY as error:
            raise refused(error) from error

    async def _connected(self) -> Wire:
        async with asyncio.timeout(PATIENCE):
            self._connection = await self._pool.get_connection()
        # Its stream is private; nothing else of it is used from here on.
        transport = self._connection._writer.transport
        self._wire = Wire(transport, self._connection._parser)
        return self._wire

    async def answers(self, count: int, within: float = PATIENCE) -> list[Any]:
        """The next `count` answers, or `Unavailable`; then the connection is dropped."""
        assert self._wire is not None, "nothing was sent"
        try:
            answers = await self._wire.answers(count, within)
        except AWAY as error:
            raise refused(error) from error
        for answer in answers:
            if isinstance(answer, RedisError) and not isinstance(answer, ResponseError):
                raise refused(answer)  # it is loading, or does not know us any more
        return answers

    async def drop(self) -> None:
        """Cut the connection, and with it answers that nobody will read. The next ask makes one."""
        connection, self._connection = self._connection, None
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.cut()
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
