"""Reading beside the groups: where partitions end, what lies at an offset, all of a small topic."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition

from interlock.bus.kafka.link import PATIENCE, Link, dismiss
from interlock.bus.kafka.records import Record
from interlock.bus.kafka.trouble import asking
from interlock.bus.kafka.unreadable import UNREADABLE, step

Offsets = dict[TopicPartition, int]
GLANCE = 50
"""Milliseconds that a fetch may wait at the broker: it would hold up the next question."""


class Survey:
    """A consumer of no group. One question at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._turn = asyncio.Lock()
        self._consumer: Any = None

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await dismiss(consumer)

    @asynccontextmanager
    async def _asking(self, asked: str) -> AsyncIterator[Any]:
        """The consumer, ours for a while; a new one after any failure."""
        async with self._turn:
            try:
                with asking(asked):
                    async with asyncio.timeout(PATIENCE):
                        if self._consumer is None:
                            made = self._link.consumer(
                                fetch_max_wait_ms=GLANCE, request_timeout_ms=int(PATIENCE * 1000)
                            )
                            self._consumer = made
                            await made.start()
                        yield self._consumer
            except BaseException:
                await self.close()
                raise

    async def bounds(self, partitions: Collection[TopicPartition]) -> tuple[Offsets, Offsets]:
        """Where each begins and ends now."""
        if not partitions:
            return {}, {}
        async with self._asking("look where partitions end") as consumer:
            return (
                await consumer.beginning_offsets(partitions),
                await consumer.end_offsets(partitions),
            )

    async def ends(self, partitions: Collection[TopicPartition]) -> Offsets:
        """Where each ends now."""
        return (await self.bounds(partitions))[1]

    async def first(self, offsets: Offsets) -> Mapping[TopicPartition, Record]:
        """The record at each offset, or the next one there is."""
        if not offsets:
            return {}
        async with self._asking("read what waits longest") as consumer:
            left, found = dict(offsets), {}
            while left:
                _assign(consumer, left)
                try:
                    got = await consumer.getmany(timeout_ms=1000)
                except UNREADABLE:
                    _assign(consumer, left)
                    one = await step(consumer, left)
                    got = {TopicPartition(each.topic, each.partition): [each] for each in one}
                for spot, records in got.items():
                    if spot in left:
                        found[spot] = records[0]
                        del left[spot]
            consumer.pause(*consumer.assignment())
            return found

    async def read(self, offsets: Offsets, ends: Offsets) -> Sequence[Record]:
        """All records from `offsets` to `ends`; `offsets` moves with them."""
        behind = {spot: at for spot, at in offsets.items() if at < ends[spot]}
        found: list[Record] = []
        if not behind:
            return found
        async with self._asking("read dead letters") as consumer:
            _assign(consumer, behind)
            while behind:
                got = await consumer.getmany(timeout_ms=1000)
                found += [record for records in got.values() for record in records]
                for spot in list(behind):
                    behind[spot] = await consumer.position(spot)
                    if behind[spot] >= ends[spot]:
                        offsets[spot] = behind.pop(spot)
            consumer.pause(*consumer.assignment())
        return found


def _assign(consumer: Any, offsets: Offsets) -> None:
    consumer.assign(list(offsets))
    for spot, at in offsets.items():
        consumer.seek(spot, at)
