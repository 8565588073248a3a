"""What doors and people ask of the bus: is it well, how far behind is a group."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from botocore.exceptions import ClientError

from interlock.bus.port import Backlog
from interlock.bus.sqs.ages import Ages
from interlock.bus.sqs.entries import milliseconds
from interlock.bus.sqs.faults import answered, told
from interlock.bus.sqs.patience import patiently
from interlock.bus.sqs.source import Reach
from interlock.contracts.topics import TOPOLOGY, Topic, topics_of
from interlock.errors import Refused, Unavailable

FRESH = 1.0
"""Seconds that one look serves."""
VISIBLE = "ApproximateNumberOfMessages"
HIDDEN = "ApproximateNumberOfMessagesNotVisible"
DELAYED = "ApproximateNumberOfMessagesDelayed"


class Desk:
    """Looks, and takes nothing."""

    def __init__(self, reach: Reach, ages: Mapping[str, Ages], now: Callable[[], datetime]) -> None:
        self._reach = reach
        self._ages = ages
        self._now = now
        self._looking = asyncio.Lock()
        self._looked = -FRESH
        self._trouble: str | None = None

    async def greet(self) -> None:
        """At the start: what a person has to put right is `Refused`."""
        try:
            await self._reach_it(running=False)
        except Unavailable:
            connection, region = self._reach.connection, self._reach.address.region
            where: str = (await connection.client()).meta.endpoint_url
            if f"sqs.{region}." in where and region not in await connection.regions():
                raise Refused(
                    f"`{region}` is no region of AWS, or no network leads there; the bus's URL"
                    " begins with one: `sqs://eu-west-1/prod`"
                ) from None
            raise

    async def _reach_it(self, *, running: bool) -> None:
        """An answer is enough: who may only send is refused, and is there all the same."""
        topic = next(iter(TOPOLOGY))
        queue = self._reach.address.queue(topic, TOPOLOGY[topic].groups[0])
        connection = self._reach.connection
        connection.forget(queue)
        with told(self._reach.address.told, queue, running=running):
            try:
                asked = partial(connection.url, queue)
                await (asked() if running else patiently(asked))
            except ClientError as error:
                if not answered(error):
                    raise

    async def check(self) -> None:
        """`Unavailable` while SQS does not answer; at most 1 s old. One look serves all."""
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
            await self._reach_it(running=True)
        except Unavailable as error:
            return error.detail
        return None

    async def backlog(self, group: str) -> list[Backlog]:
        return list(await asyncio.gather(*(self._backlog(one, group) for one in topics_of(group))))

    async def _backlog(self, topic: Topic, group: str) -> Backlog:
        address = self._reach.address
        queue = address.queue(topic, group)
        lies, dead = await asyncio.gather(
            self._counts(queue), self._counts(address.dead(topic, group))
        )
        waiting = lies[VISIBLE] + lies[DELAYED]
        now = milliseconds(self._now())
        return Backlog(
            topic=topic,
            group=group,
            waiting=waiting,
            in_flight=lies[HIDDEN],
            oldest_seconds=self._ages[queue].oldest(waiting, lies[HIDDEN], now),
            dead=sum(dead.values()),
        )

    async def _counts(self, queue: str) -> dict[str, int]:
        with told(self._reach.address.told, queue):
            attributes = await self._reach.connection.attributes(queue)
        return {name: int(attributes.get(name, 0)) for name in (VISIBLE, HIDDEN, DELAYED)}
