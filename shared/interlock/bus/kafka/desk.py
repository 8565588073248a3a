"""What people and doors ask of the bus: is it well, and how far behind is a group."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from aiokafka import TopicPartition

from interlock.bus.kafka.delays import Delays
from interlock.bus.kafka.letters import Letters
from interlock.bus.kafka.link import Link
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.publisher import Publisher
from interlock.bus.kafka.records import since
from interlock.bus.kafka.survey import Offsets, Survey
from interlock.bus.kafka.trouble import AWAY, trouble
from interlock.bus.outcome import Delivery
from interlock.bus.port import Backlog
from interlock.contracts.topics import Topic, topics_of
from interlock.errors import Unavailable

FRESH = 1.0
"""Seconds that one look at the broker serves."""
LOOK = 2.0
"""Seconds within which it answers."""


class Desk:
    """Joins no group."""

    def __init__(
        self, link: Link, names: Names, survey: Survey, letters: Letters, delays: Delays
    ) -> None:
        self._link = link
        self._names = names
        self._survey = survey
        self._letters = letters
        self._delays = delays
        self._looking = asyncio.Lock()
        self._looked = -FRESH
        self._trouble: str | None = None

    async def check(self, publisher: Publisher) -> None:
        """`Unavailable` while Kafka is away; at most 1 s old. One look serves all who wait."""
        publisher.check()
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
            async with asyncio.timeout(LOOK):
                await self._link.admin.describe_topics([])
        except AWAY as error:
            return trouble(error, "reach Kafka").detail
        return None

    async def backlog(
        self, group: str, in_hand: Iterable[Delivery], now: Callable[[], datetime]
    ) -> list[Backlog]:
        """`in_hand`: what members in this process work on; others' counts as waiting."""
        read_by = self._names.read_by(group)
        spots = await self._spots(read_by)
        committed = await self._link.offsets(self._names.group(group), list(spots))
        begin, ends = await self._survey.bounds(spots)
        at = {spot: max(begin[spot], committed[spot].offset) for spot in spots}
        lag = Counter[Topic]()
        for spot, topic in spots.items():
            lag[topic] += max(0, ends[spot] - at[spot])
        oldest = await self._oldest({s: n for s, n in at.items() if n < ends[s]}, spots)
        dead, hand = await self._letters.count(group), Counter(one.raw.topic for one in in_hand)
        figures = []
        for topic in topics_of(group):
            delayed, first = await self._delays.waiting(self._names.retry(topic, group))
            ages = [*oldest.get(topic, []), *([first] if first else [])]
            age = now().timestamp() - min(ages) / 1000 if ages else 0.0
            working = min(hand[topic], lag[topic])
            waiting = lag[topic] - working + delayed
            figures.append(Backlog(topic, group, waiting, working, max(0.0, age), dead[topic]))
        return figures

    async def _spots(self, read_by: dict[str, Topic]) -> dict[TopicPartition, Topic]:
        """Every partition that the group reads."""
        found = await self._link.ask(
            "describe topics", lambda: self._link.admin.describe_topics(list(read_by))
        )
        return {
            TopicPartition(one["topic"], partition["partition"]): read_by[one["topic"]]
            for one in found
            for partition in one["partitions"]
        }

    async def _oldest(
        self, offsets: Offsets, spots: dict[TopicPartition, Topic]
    ) -> dict[Topic, list[int]]:
        """Since when the first record of each partition waits, in milliseconds."""
        found: dict[Topic, list[int]] = {}
        for spot, record in (await self._survey.first(offsets)).items():
            found.setdefault(spots[spot], []).append(since(record))
        return found
