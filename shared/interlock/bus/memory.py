"""The twin: the bus's promises kept within one process, for tests. Nothing outlives it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from interlock.bus.envelope import Letter, Raw
from interlock.bus.handling import Handling
from interlock.bus.outcome import Again, Back, Delivery, Done, Outcome, Parked
from interlock.bus.port import Backlog, Change, Group, any_letter, dead_topic
from interlock.bus.verdict import Surroundings
from interlock.bus.wire import Keyring, letter_id
from interlock.contracts.ids import EventId
from interlock.contracts.topics import SERVICES, TOPOLOGY, topics_of
from interlock.errors import Unavailable

Sleep = Callable[[float], Awaitable[None]]


@dataclass
class _Queue:
    """What one group has before it."""

    waiting: deque[Delivery] = field(default_factory=deque)
    delayed: list[Delivery] = field(default_factory=list)
    in_hand: list[Delivery] = field(default_factory=list)
    letters: dict[EventId, Letter] = field(default_factory=dict)
    members: int = 0

    @property
    def idle(self) -> bool:
        return not (self.waiting or self.delayed or self.in_hand)


class MemoryBus:
    """A `Bus`. `published` has all that was ever published; `away` makes it unreachable."""

    def __init__(
        self,
        keyring: Keyring,
        now: Callable[[], datetime],
        *,
        sleep: Sleep = asyncio.sleep,
        around: Surroundings | None = None,
    ) -> None:
        self.published: list[Raw] = []
        self.away = False
        self._around = around or Surroundings(keyring, now)
        self._sleep = sleep
        self._queues = {group: _Queue() for group in SERVICES if topics_of(group)}
        self._changed = asyncio.Condition()
        self._timers: set[asyncio.Task[None]] = set()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def plan(self) -> Sequence[Change]:
        return ()

    async def apply(self) -> None: ...

    async def publish(self, messages: Sequence[Raw]) -> None:
        await self.check()
        await self._append(messages)

    async def check(self) -> None:
        if self.away:
            raise Unavailable("the bus is away")

    async def run(self, group: Group) -> None:
        queue, handling = self._queue(group.name), Handling(group, self._around)
        queue.members += 1
        try:
            while True:
                await self._work(group, queue, handling)
        finally:
            queue.members -= 1

    async def drain(self) -> None:
        """Wait until no running group has anything waiting, delayed or in hand."""
        await asyncio.sleep(0)  # groups whose task was only just made
        async with self._changed:
            await self._changed.wait_for(
                lambda: all(queue.idle for queue in self._queues.values() if queue.members)
            )

    # -- what a group leaves behind -------------------------------------------------------------

    async def backlog(self, group: str) -> Sequence[Backlog]:
        queue, now = self._queue(group), self._around.now()
        figures = []
        for topic in topics_of(group):
            waiting, delayed, in_hand = (
                [delivery for delivery in some if delivery.raw.topic is topic]
                for some in (queue.waiting, queue.delayed, queue.in_hand)
            )
            since = [delivery.place for delivery in (*waiting, *delayed, *in_hand)]
            dead = sum(letter.raw.topic is topic for letter in queue.letters.values())
            figures.append(
                Backlog(
                    topic=topic,
                    group=group,
                    waiting=len(waiting) + len(delayed),
                    in_flight=len(in_hand),
                    oldest_seconds=(now - min(since)).total_seconds() if since else 0.0,
                    dead=dead,
                )
            )
        return figures

    async def letters(
        self, group: str, limit: int = 100, where: Callable[[Letter], bool] = any_letter
    ) -> Sequence[Letter]:
        return [*filter(where, self._queue(group).letters.values())][:limit]

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        return self._queue(group).letters.get(letter_id)

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        queue = self._queue(group)
        letters = self._taken(group, letter_ids)
        queue.waiting += [Delivery(letter.raw, self._around.now()) for letter in letters]
        await self._tell()
        return frozenset(letter.letter_id for letter in letters)

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        return frozenset(letter.letter_id for letter in self._taken(group, letter_ids))

    def _taken(self, group: str, letter_ids: Collection[EventId]) -> list[Letter]:
        letters = self._queue(group).letters
        return [letters.pop(one) for one in letter_ids if one in letters]

    # -- delivery -------------------------------------------------------------------------------

    def _queue(self, group: str) -> _Queue:
        return self._queues.setdefault(group, _Queue())

    async def _append(self, messages: Sequence[Raw]) -> None:
        self.published += messages
        now = self._around.now()
        for raw in messages:
            for group in TOPOLOGY[raw.topic].groups:
                self._queue(group).waiting.append(Delivery(raw, now))
        if messages:
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _work(self, group: Group, queue: _Queue, handling: Handling) -> None:
        """One batch. A stop lets it end; it is not torn."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(queue.waiting))
        if not group.ready():
            return await asyncio.sleep(0.01)
        most = min(group.limits.batch, len(queue.waiting))
        batch = [queue.waiting.popleft() for _ in range(most)]
        queue.in_hand += batch
        work = asyncio.ensure_future(self._handle(group.name, queue, handling, batch))
        try:
            paused = await asyncio.shield(work)
        except asyncio.CancelledError:
            await work
            raise
        return await self._sleep(0.25) if paused else None

    async def _handle(
        self, group: str, queue: _Queue, handling: Handling, batch: list[Delivery]
    ) -> bool:
        outcomes = await handling.run(batch)
        if self.away:
            outcomes = [Back(delivery, "the bus is away") for delivery in batch]
        mine = {id(delivery) for delivery in batch}
        queue.in_hand = [one for one in queue.in_hand if id(one) not in mine]
        for outcome in outcomes:
            await self._settle(group, queue, outcome)
        await self._tell()
        return any(isinstance(outcome, Back) for outcome in outcomes)

    async def _settle(self, group: str, queue: _Queue, outcome: Outcome) -> None:
        if isinstance(outcome, Back):
            queue.waiting.appendleft(outcome.delivery)
        elif isinstance(outcome, Done):
            await self._append(outcome.effects)
        elif isinstance(outcome, Again):
            self._delay(queue, outcome)
        else:
            letter = self._letter(group, outcome)
            queue.letters.setdefault(letter.letter_id, letter)
            await self._append(outcome.effects)

    def _delay(self, queue: _Queue, again: Again) -> None:
        failed = again.delivery
        delivery = failed._replace(
            attempts=failed.attempts + 1, history=(*failed.history, again.line)
        )
        queue.delayed.append(delivery)

        async def later() -> None:
            await self._sleep(again.delay)
            queue.delayed.remove(delivery)
            queue.waiting.append(delivery)
            await self._tell()

        timer = asyncio.ensure_future(later())
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    def _letter(self, group: str, parked: Parked) -> Letter:
        delivery = parked.delivery
        return Letter(
            dead_topic=dead_topic(delivery.raw.topic, group),
            letter_id=letter_id(delivery.raw, group),
            raw=delivery.raw,
            code=parked.code,
            reason=parked.reason,
            traceback=parked.traceback,
            attempts=parked.attempts,
            parked_at=self._around.now(),
            history=(*delivery.history, parked.line),
        )
