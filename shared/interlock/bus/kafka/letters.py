"""Dead letters: tables read from the dead topics of a group, as far as those go when asked."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from interlock.bus.envelope import Letter
from interlock.bus.kafka import records
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.publisher import Publisher
from interlock.bus.kafka.records import Outgoing, Record
from interlock.bus.kafka.survey import Offsets, Survey
from interlock.contracts.ids import EventId
from interlock.contracts.topics import Topic, topics_of


@dataclass
class _Table:
    """The letters of one group, oldest first, and how far its dead topics were read."""

    read: Offsets
    letters: dict[tuple[Topic, bytes], Record] = field(default_factory=dict)


class Letters:
    """Compacted topics of one partition each: a record per letter, a tombstone once it is gone."""

    def __init__(self, survey: Survey, publisher: Publisher, names: Names) -> None:
        self._survey = survey
        self._publisher = publisher
        self._names = names
        self._tables: dict[str, _Table] = {}
        self._turn = asyncio.Lock()

    async def count(self, group: str) -> dict[Topic, int]:
        """Letters by topic."""
        table = await self._table(group)
        counts = dict.fromkeys(topics_of(group), 0)
        for topic, _ in table.letters:
            counts[topic] += 1
        return counts

    async def letters(
        self, group: str, limit: int, where: Callable[[Letter], bool]
    ) -> Sequence[Letter]:
        table = await self._table(group)
        shown = (records.letter(one, at[0], group) for at, one in table.letters.items())
        return sorted(filter(where, shown), key=lambda one: one.parked_at)[:limit]

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        table = await self._table(group)
        for topic, record in _found(table, topics_of(group), letter_id):
            return records.letter(record, topic, group)
        return None

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        """Given again first, forgotten after."""
        return await self._take(group, letter_ids, again=True)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return await self._take(group, letter_ids, again=False)

    async def _take(
        self, group: str, letter_ids: Collection[EventId], *, again: bool
    ) -> frozenset[EventId]:
        table, names = await self._table(group), self._names
        taken: list[EventId] = []
        given: list[Outgoing] = []
        gone: list[Outgoing] = []
        for letter_id in letter_ids:
            for topic, record in _found(table, topics_of(group), letter_id):
                taken.append(letter_id)
                given.append(records.redriven(record, names.retry(topic, group)))
                gone.append(Outgoing(names.dead(topic, group), record.key, None, []))
        if again:
            await self._publisher.send(given)
        await self._publisher.send(gone)
        return frozenset(taken)

    async def _table(self, group: str) -> _Table:
        """As it is now."""
        async with self._turn:
            places = {
                TopicPartition(self._names.dead(topic, group), 0): topic
                for topic in topics_of(group)
            }
            table = self._tables.setdefault(group, _Table(dict.fromkeys(places, 0)))
            ends = await self._survey.ends(places)
            for record in await self._survey.read(table.read, ends):
                at = (places[TopicPartition(record.topic, 0)], record.key)
                if record.value is None:
                    table.letters.pop(at, None)
                else:
                    table.letters[at] = record
            return table


def _found(
    table: _Table, topics: Sequence[Topic], letter_id: EventId
) -> Iterator[tuple[Topic, Record]]:
    for topic in topics:
        record = table.letters.get((topic, letter_id.encode()))
        if record is not None:
            yield topic, record
