"""The `Bus` on Redis Streams: its life, and which part does what."""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from faststream.redis import RedisBroker

from interlock.bus.envelope import Letter, Raw
from interlock.bus.observe import Observer, Silent
from interlock.bus.port import Backlog, Change, Group, any_letter
from interlock.bus.redis.desk import Desk
from interlock.bus.redis.entries import Keys
from interlock.bus.redis.groups import create_groups, planned
from interlock.bus.redis.line import Line
from interlock.bus.redis.member import Member, Reach
from interlock.bus.redis.publisher import Publisher
from interlock.bus.verdict import Surroundings
from interlock.bus.wire import Keyring
from interlock.contracts.ids import EventId
from interlock.contracts.topics import topics_of


class RedisBus:
    """A `Bus`."""

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

    async def open(self) -> None:
        client: Any = await self._broker.connect()
        self._reach = Reach(client, self._keys)
        self._publisher = Publisher(client, self._keys)
        self._desk = Desk(client, self._keys)
        async with self._own_line() as line:
            await line.ask(("PING",))  # an answer is enough: who may only append is refused

    async def close(self) -> None:
        await self._publisher.close()
        await self._desk.close()
        await self._broker.stop()

    async def plan(self) -> Sequence[Change]:
        async with self._own_line() as line:
            return await planned(line, self._keys)

    async def apply(self) -> None:
        async with self._own_line() as line:
            await create_groups(line, self._keys)

    @asynccontextmanager
    async def _own_line(self) -> AsyncIterator[Line]:
        line = Line(self._reach.client)
        try:
            yield line
        finally:
            await line.drop()

    async def publish(self, messages: Sequence[Raw]) -> None:
        await self._publisher.publish(messages)

    async def run(self, group: Group) -> None:
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        with self._reach.seen.reading(topics_of(group.name)):
            await Member(group, name, self._reach, self._around).run()

    async def check(self) -> None:
        await self._desk.check()

    async def backlog(self, group: str) -> Sequence[Backlog]:
        return await self._desk.backlog(group)

    async def letters(
        self, group: str, limit: int = 100, where: Callable[[Letter], bool] = any_letter
    ) -> Sequence[Letter]:
        return await self._desk.letters(group, limit, where)

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        return await self._desk.letter(group, letter_id)

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._desk.redrive(group, letter_ids)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._desk.drop(group, letter_ids)
