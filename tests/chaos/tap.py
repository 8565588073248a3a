"""Everything that goes over a suite's bus, read beside its groups and, if wished, put there again.

The raw entries, as they lie there: neither read nor believed.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from interlock.bus.redis.entries import Keys
from interlock.bus.redis.line import client_of
from interlock.contracts.topics import Topic
from interlock.runtime.settings import SuiteSettings

TOPICS = {Keys(SuiteSettings.model_fields["prefix"].default).stream(t).encode(): t for t in Topic}
PATIENCE = 20.0


@dataclass(frozen=True)
class Seen:
    """One entry of a stream."""

    stream: bytes
    fields: dict[bytes, bytes]

    @property
    def type(self) -> str:
        return self.fields[b"ce_type"].decode()

    @property
    def subject(self) -> str:
        return self.fields[b"ce_subject"].decode()


@dataclass
class Tap:
    """All entries so far, those of our own not counted."""

    redis: Any
    repeats: bool = False
    """Whether each entry is put on the bus again as soon as it is seen."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    seen: list[Seen] = field(default_factory=list)
    _own: set[bytes] = field(default_factory=set)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Read until cancelled; streams are trimmed behind their groups, so read all the time."""
        after: dict[bytes, bytes] = dict.fromkeys(TOPICS, b"0")
        while True:
            found = await self.redis.xread(after, count=500, block=200)
            new = []
            for stream, entries in _pairs(found):
                after[stream] = entries[-1][0]
                new += [Seen(stream, told) for at, told in entries if at not in self._own]
            async with self._more:
                self.seen += new
                self._more.notify_all()
            if self.repeats:
                await self.repeat(new)

    async def repeat(self, entries: Sequence[Seen]) -> None:
        """Put entries on the bus again, byte for byte, in an order of their own."""
        shuffled = self.chance.sample(entries, len(entries))
        for at in range(0, len(shuffled), 200):
            pipe = self.redis.pipeline(transaction=True)
            for one in shuffled[at : at + 200]:
                pipe.xadd(one.stream, one.fields)
            self._own.update(await pipe.execute())

    async def first(self, kind: str, subject: str) -> Seen:
        """The first entry of a type about a task, once it is there."""
        async with asyncio.timeout(PATIENCE), self._more:
            while True:
                for one in self.seen:
                    if one.fields.get(b"ce_type") == kind.encode() and one.subject == subject:
                        return one
                await self._more.wait()


def _pairs(found: Any) -> Any:
    """Streams and entries in an answer to XREAD, whichever protocol is spoken."""
    return found.items() if isinstance(found, dict) else found


@asynccontextmanager
async def tapped(bus_url: str, *, repeats: bool = False) -> AsyncIterator[Tap]:
    """Tap the bus at `bus_url` as long as the block lasts."""
    client = client_of(bus_url)
    tap = Tap(client, repeats)
    reading = asyncio.create_task(tap.run())
    try:
        yield tap
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await client.aclose()
