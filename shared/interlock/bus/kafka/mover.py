"""Moves what is due to its retry topic: published first, forgotten after."""

import asyncio

import structlog

from interlock.bus.kafka.delays import Delays
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.publisher import Publisher
from interlock.contracts.topics import topics_of
from interlock.errors import InterlockError

log = structlog.get_logger(__name__)
SECOND = 1.0


class Mover:
    """Runs beside each member of a group; what one has taken, the others leave alone."""

    def __init__(self, group: str, names: Names, publisher: Publisher, delays: Delays) -> None:
        self._places = [names.retry(topic, group) for topic in topics_of(group)]
        self._publisher = publisher
        self._delays = delays
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """A retry was scheduled: look when it is due."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled. While Redis or Kafka is away it only tries on: the member says so."""
        while True:
            wait = SECOND
            try:
                wait = await self.move()
            except InterlockError as error:
                log.debug("bus.not_moved", reason=error.detail)
            try:
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()

    async def move(self) -> float:
        """What is due now. Seconds until there may be more, at most one."""
        next_due, due = await self._delays.take(self._places)
        await self._publisher.send([one.record for one in due])
        await self._delays.moved(due)
        return SECOND if next_due is None else min(SECOND, next_due + 0.001)
