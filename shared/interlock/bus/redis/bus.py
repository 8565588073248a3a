"""The `Bus` on Redis Streams: its life, and which part does what."""

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from faststream.redis import RedisBroker

from interlock.bus.envelope import Letter, Raw
from interlock.bus.observe import Observer, Silent
from interlock.bus.port import Backlog, Group
from interlock.bus.redis.desk import Desk
from interlock.bus.redis.entries import Keys
from interlock.bus.redis.groups import create_groups
from interlock.bus.redis.line import Line
from interlock.bus.redis.member import Member, Reach
from interlock.bus.redis.publisher import Publisher
from interlock.bus.verdict import Surroundings
from interlock.bus.wire import Keyring
from interlock.contracts.ids import EventId


class RedisBus:
    """A `Bus`. Open it before anything else, close it last."""

    def __init__(
        self,
        url: str,
        keyring: Keyring,
        now: Callable[[], datetime],
        *,
        prefix: str = "interlock:",
        observer: Observer | None = None,
    ) -> None:
        self._broker = RedisBroker(url, socket_timeout=None, graceful_timeout=None)
        self._keys = Keys(prefix)
        self._around = Surroundings(keyring, now, observer or Silent())

    async def open(self, *, consumes: bool = True) -> None:
        """Connect and make all groups; `Unavailable` if Redis is not there.

        A writer that may only append (`consumes=False`) makes none.
        """
        client: Any = await self._broker.connect()
        self._reach = Reach(client, self._keys)
        self._publisher = Publisher(client, self._keys)
        self._desk = Desk(client, self._keys)
        if not consumes:
            return
        line = Line(client)
        try:
            await create_groups(line, self._keys)
        finally:
            await line.drop()

    async def close(self) -> None:
        """Groups must have ended."""
        await self._publisher.close()
        await self._desk.close()
        await self._broker.stop()

    async def publish(self, messages: Sequence[Raw]) -> None:
        await self._publisher.publish(messages)

    async def run(self, group: Group) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        await Member(group, name, self._reach, self._around).run()

    async def check(self) -> None:
        await self._desk.check()

    async def backlog(self, group: str) -> Sequence[Backlog]:
        return await self._desk.backlog(group)

    async def letters(self, group: str, limit: int = 100) -> Sequence[Letter]:
        return await self._desk.letters(group, limit)

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        return await self._desk.letter(group, letter_id)

    async def redrive(self, group: str, letter_id: EventId) -> bool:
        return await self._desk.redrive(group, letter_id)

    async def drop(self, group: str, letter_id: EventId) -> bool:
        return await self._desk.drop(group, letter_id)
