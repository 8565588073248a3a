"""What people and doors ask of the bus: is it well, how far behind is a group, what is dead."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from redis.exceptions import ResponseError

from interlock.bus.envelope import Letter
from interlock.bus.port import Backlog
from interlock.bus.redis import scripts
from interlock.bus.redis.entries import Keys, letter, pairs, undelayed
from interlock.bus.redis.groups import described
from interlock.bus.redis.line import Client, Command, Line, refused
from interlock.contracts.ids import EventId
from interlock.contracts.topics import Topic, topics_of
from interlock.errors import Unavailable

FULL = 0.9
"""Share of `maxmemory` from which on nothing is taken in."""
PAGE = 500
"""Letters read at once."""
AT_ONCE = 100
"""Letters moved in one exchange."""
FRESH = 1.0
"""Seconds that one look at the memory serves."""


class Desk:
    """One question at a time, over one connection."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._line = Line(client)
        self._turn = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._keys = keys
        self._looked = -FRESH
        self._trouble: str | None = None

    async def close(self) -> None:
        await self._line.drop()

    async def check(self) -> None:
        """`Unavailable` while Redis is away or its memory almost full; at most 1 s old.

        One look serves all who wait for it: else each would wait for those before it as well.
        """
        clock = asyncio.get_running_loop().time
        if clock() - self._looked >= FRESH:
            async with self._looking:
                if clock() - self._looked >= FRESH:
                    self._trouble = await self._look()
                    self._looked = clock()
        if self._trouble is not None:
            raise Unavailable(self._trouble)

    async def _look(self) -> str | None:
        try:
            (answer,) = await self._ask(("INFO", "memory"))
        except Unavailable as error:
            return error.detail
        lines = [line.partition(":") for line in answer.decode().splitlines()]
        memory = {name: value for name, _, value in lines}
        most, used = int(memory.get("maxmemory", 0)), int(memory.get("used_memory", 0))
        if most and used > FULL * most:
            return f"the bus's memory is almost full: `{used}` of `{most}` bytes"
        return None

    # -- backlog --------------------------------------------------------------------------------

    async def backlog(self, group: str) -> list[Backlog]:
        return [await self._backlog(topic, group) for topic in topics_of(group)]

    async def _backlog(self, topic: Topic, group: str) -> Backlog:
        streams = (self._keys.stream(topic), self._keys.retry(topic, group))
        delayed = self._keys.delayed(topic, group)
        time, waits, members, dead, *rest = await self._ask(
            ("TIME",),
            ("ZCARD", delayed),
            ("ZRANGE", delayed, 0, 0),
            ("XLEN", self._keys.dead(topic, group)),
            *(("XINFO", "GROUPS", key) for key in streams),
            *(("XPENDING", key, group) for key in streams),
            *(("XLEN", key) for key in streams),
        )
        infos = [_info(groups, group) for groups in rest[:2]]
        since = [int(pairs(undelayed(member))[b"x_since"]) for member in members]
        waiting = waits
        for key, info, length in zip(streams, infos, rest[4:], strict=True):
            # `lag` is null once an undelivered entry was deleted; then this is its upper bound.
            lag = info[b"lag"]
            waiting += length if lag is None else lag
            since += await self._first_undelivered(key, info[b"last-delivered-id"])
        since += [_milliseconds(pending[1]) for pending in rest[2:4] if pending[0]]
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        return Backlog(
            topic=topic,
            group=group,
            waiting=waiting,
            in_flight=sum(pending[0] for pending in rest[2:4]),
            oldest_seconds=max(0.0, (now - min(since)) / 1000) if since else 0.0,
            dead=dead,
        )

    async def _first_undelivered(self, key: str, delivered: bytes) -> list[int]:
        command = ("XRANGE", key, b"(" + delivered, "+", "COUNT", 1)
        (found,) = await self._ask(command)
        return [_milliseconds(entry) for entry, _ in found]

    # -- dead letters ---------------------------------------------------------------------------

    async def letters(
        self, group: str, limit: int, where: Callable[[Letter], bool]
    ) -> Sequence[Letter]:
        letters = [
            one
            for topic in topics_of(group)
            for one in await self._letters(topic, group, limit, where)
        ]
        return sorted(letters, key=lambda one: one.parked_at)[:limit]

    async def _letters(
        self, topic: Topic, group: str, limit: int, where: Callable[[Letter], bool]
    ) -> list[Letter]:
        """Page by page, so that a long queue of others' letters is not held at once."""
        letters: list[Letter] = []
        after, more = "-", True
        while more and len(letters) < limit:
            key = self._keys.dead(topic, group)
            (page,) = await self._ask(("XRANGE", key, after, "+", "COUNT", PAGE))
            letters += filter(where, [letter(topic, group, *entry) for entry in page])
            more = len(page) == PAGE
            after = f"({page[-1][0].decode()}" if more else after
        return letters[:limit]

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        for topic in topics_of(group):
            (entry,) = await self._ask(("HGET", self._keys.letters(topic, group), letter_id))
            if entry is None:
                continue
            (found,) = await self._ask(("XRANGE", self._keys.dead(topic, group), entry, entry))
            if found:
                return letter(topic, group, *found[0])
        return None

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._on_letters(scripts.REDRIVE, 3, group, letter_ids)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._on_letters(scripts.DROP, 2, group, letter_ids)

    async def _on_letters(
        self, script: str, keys: int, group: str, letter_ids: Collection[EventId]
    ) -> frozenset[EventId]:
        """Many in one exchange: each is looked for on every topic of the group."""
        names, topics, ids = self._keys, topics_of(group), list(letter_ids)
        places = [
            (names.dead(topic, group), names.letters(topic, group), names.retry(topic, group))
            for topic in topics
        ]
        moved: set[EventId] = set()
        for at in range(0, len(ids), AT_ONCE):
            asked = [(one, place[:keys]) for one in ids[at : at + AT_ONCE] for place in places]
            commands: list[Command] = [("EVAL", script, keys, *place, one) for one, place in asked]
            answers = await self._ask(*commands, again=False)
            moved |= {one for (one, _), said in zip(asked, answers, strict=True) if said}
        return frozenset(moved)

    async def _ask(self, *commands: Command, again: bool = True) -> list[Any]:
        """With `again` a second time if the connection broke: since when it had is not known."""
        async with self._turn:
            try:
                answers = await self._once(commands)
            except Unavailable as error:
                if not again or isinstance(error.__cause__, TimeoutError):
                    raise
                answers = await self._once(commands)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise refused(answer)
        return answers

    async def _once(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._line.ask(*commands)
        except BaseException:
            await self._line.drop()
            raise


def _info(groups: Any, group: str) -> dict[bytes, Any]:
    """What XINFO GROUPS says of one group."""
    for info in described(groups):
        if info[b"name"] == group.encode():
            return info
    return {b"lag": 0, b"last-delivered-id": b"0-0"}


def _milliseconds(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])
