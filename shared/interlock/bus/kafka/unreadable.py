"""A record that the client cannot read: a header's name that is no UTF-8.

Whoever may append can write one. aiokafka then fails the whole read, each time, and other
partitions' records of the same read are lost with it. So readers rewind, and go record by record
until they are past it.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

UNREADABLE = UnicodeDecodeError
GLANCE = 100
"""Milliseconds that one partition is waited for."""


@dataclass(frozen=True)
class Gap:
    """Stands for such a record, whose bytes stay where they are. It can be no message of ours."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    headers: tuple[tuple[str, bytes], ...]
    key: bytes | None = None
    value: bytes | None = None


async def step(consumer: Any, spots: Collection[TopicPartition]) -> list[Any]:
    """The next record of one of `spots`, none if there is none yet, or a `Gap` and past it."""
    for spot in spots:
        try:
            found = await consumer.getmany(spot, timeout_ms=GLANCE, max_records=1)
        except UNREADABLE:
            at = await consumer.position(spot)
            consumer.seek(spot, at + 1)
            return [_gap(spot, at)]
        if found:
            return [record for records in found.values() for record in records]
    return []


def _gap(spot: TopicPartition, at: int) -> Gap:
    told = (
        f"a header's name is no UTF-8; see partition {spot.partition}, offset {at} of {spot.topic}"
    )
    now = int(time.time() * 1000)
    return Gap(spot.topic, spot.partition, at, now, (("unreadable", told.encode()),))
