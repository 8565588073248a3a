"""What a member has received and not yet settled: kept invisible to others while it lives."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import structlog

from interlock.bus.outcome import Delivery
from interlock.bus.sqs.ages import Ages
from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.wire import Packed
from interlock.bus.sqs.entries import Receipt, milliseconds
from interlock.bus.sqs.faults import told
from interlock.errors import Unavailable

log = structlog.get_logger(__name__)


class Held:
    """In hand, by receipt."""

    def __init__(self, connection: Connection, visibility: int, ages: Mapping[str, Ages]) -> None:
        self._connection = connection
        self._visibility = visibility
        self._ages = ages
        self._hand: dict[str, Delivery] = {}

    def take(self, deliveries: Iterable[Delivery]) -> None:
        for one in deliveries:
            receipt: Receipt = one.place
            self._hand[receipt.handle] = one
            self._ages[receipt.queue].took(receipt.handle, receipt.since)

    def release(self, deliveries: Iterable[Delivery]) -> None:
        for one in deliveries:
            receipt: Receipt = one.place
            self._hand.pop(receipt.handle, None)
            self._ages[receipt.queue].settled(receipt.handle)

    def of(self, deliveries: Iterable[Delivery]) -> Sequence[Delivery]:
        """Those of them that are not settled."""
        return [one for one in deliveries if one.place.handle in self._hand]

    def all(self) -> Sequence[Delivery]:
        return list(self._hand.values())

    def delayed(
        self, deliveries: Iterable[Delivery], copies: Mapping[int, Packed], now: datetime
    ) -> None:
        """Their copies, by the deliveries' identity, wait in the queue."""
        for one in deliveries:
            sent = copies.get(id(one))
            if sent is not None and sent.delay:
                until = milliseconds(now) + sent.delay * 1000
                self._ages[one.place.queue].delayed(until, one.place.since)

    async def beat(self) -> None:
        """Until cancelled: what is in hand stays ours, three times within the time it would."""
        while True:
            before = set(self._hand)
            await asyncio.sleep(self._visibility / 3)
            by_queue: dict[str, list[str]] = {}
            for handle in before & self._hand.keys():
                by_queue.setdefault(self._hand[handle].place.queue, []).append(handle)
            for queue, handles in by_queue.items():
                try:
                    with told(self._connection.place.endpoint or "its endpoint", queue):
                        await self._connection.show(queue, handles, self._visibility)
                except Unavailable as error:
                    log.debug("bus.no_beat", queue=queue, reason=error.detail)
