"""A member's place in its group: the partitions that it holds, and how it comes by them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from interlock.bus.kafka import records
from interlock.bus.kafka.delays import Delays
from interlock.bus.kafka.hand import (
    HELD,
    UNHELD,
    Hand,
    Offsets,
    Suspects,
    accused,
    marked,
    spot,
    suspicious,
)
from interlock.bus.kafka.link import PATIENCE, Link, dismiss
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.publisher import Publisher
from interlock.bus.kafka.trouble import AWAY, LEFT, trouble
from interlock.bus.kafka.unreadable import UNREADABLE, Gap, step
from interlock.bus.outcome import Delivery
from interlock.bus.port import Group
from interlock.errors import InterlockError

log = structlog.get_logger(__name__)

BLOCK = 0.5
"""Seconds that one read waits for messages."""
GATHER = 0.02
"""Seconds without a message after which what is settled is committed; sooner after a whole batch.
Until then a death only has those few messages delivered twice, under ids that are known."""
NEVER = 24 * 3600 * 1000
"""Milliseconds without a read after which the client would leave the group. Not ours to use: a
handler's time limit bounds what is in hand, and while our own infrastructure is away we pause."""
PATIENT = 2
"""Commits in a row that may get no answer. After an outage it may be the client, not the broker,
that will never answer again."""


@dataclass(frozen=True)
class Reach:
    """What a member works with."""

    link: Link
    names: Names
    publisher: Publisher
    delays: Delays
    ends: Callable[[Sequence[TopicPartition]], Awaitable[Offsets]]
    """Where partitions end now."""


class Seat(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is not typed
    """Reads batches and commits exact offsets; gives partitions away between two pieces of work.

    With each offset goes a mark (`hand`): whoever takes a partition over sees whether its holder
    left in order. Where not, the messages that it may have had in hand are handled one by one, and
    a death is counted, for that offset, before it can happen.
    """

    def __init__(self, group: Group, reach: Reach) -> None:
        self.hand = Hand()
        self._group = group
        self._reach = reach
        self._topics = reach.names.read_by(group.name)
        self._bound = group.limits.handler_timeout + PATIENCE
        self._consumer: Any = None
        self._working = asyncio.Lock()
        """Held while messages are handled and settled; a hand-over waits for it."""
        self._at: Offsets = {}
        """Committed offsets of the partitions that we hold."""
        self._owed: Offsets = {}
        """Settled, and not yet committed."""
        self._unpaid = 0
        """Messages settled since the last commit."""
        self._suspects: dict[TopicPartition, Suspects] = {}
        self._careful = False
        """Something cannot be read, and we are not past it yet."""
        self._unheard = 0
        """Commits in a row that got no answer."""

    # -- reading --------------------------------------------------------------------------------

    async def next(self) -> Hand:
        """What comes next, as soon as there is any, in the order of each partition."""
        if self._consumer is None:
            await self._join()
        if self._careful:
            return self._take(await self._step())
        wait = GATHER if self._owed else BLOCK
        try:
            found = await self._consumer.getmany(
                timeout_ms=int(wait * 1000), max_records=self._group.limits.batch
            )
        except UNREADABLE:
            await self._rewind()
            return self.hand
        return self._take([one for some in found.values() for one in some])

    def _take(self, found: Sequence[records.Record]) -> Hand:
        deliver, topics = records.delivery, self._topics
        self.hand = Hand.of([deliver(one, topics[one.topic]) for one in found])
        return self.hand

    async def _rewind(self) -> None:
        """To what is settled; from there record by record."""
        self._careful = True
        await self.guarded(self.hand, self.hold)
        for one, at in (self._at | self._owed).items():
            self._consumer.seek(one, at)

    async def _step(self) -> Sequence[records.Record]:
        found = await step(self._consumer, self._consumer.assignment())
        self._careful = not any(isinstance(one, Gap) for one in found)
        return found

    async def _join(self) -> None:
        limit = int((self._bound + PATIENCE) * 1000)
        session = int(self._reach.link.address.session * 1000)
        self._consumer = self._reach.link.consumer(
            group_id=self._reach.names.group(self._group.name),
            session_timeout_ms=session,
            heartbeat_interval_ms=session // 5,
            rebalance_timeout_ms=limit,
            request_timeout_ms=limit + session,  # joining waits for the others
            max_poll_interval_ms=NEVER,
            metadata_max_age_ms=30_000,  # new partitions are found
        )
        async with asyncio.timeout(PATIENCE):
            await self._consumer.start()
        self._consumer.subscribe(list(self._topics), listener=self)

    async def part(self) -> None:
        """Without a word: this client is of no use any more."""
        consumer, self._consumer = self._consumer, None
        self._unheard = 0
        self._forget()
        if consumer is not None and not await dismiss(consumer):
            log.debug("bus.left_unsaid", group=self._group.name)

    async def leave(self) -> None:
        """In order: others take over at once, and count nothing."""
        if self._consumer is not None:
            try:
                await self._let_go()
            except (*AWAY, InterlockError):
                log.info("bus.left_unsaid", group=self._group.name)
        await self.part()

    # -- partitions come and go -----------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: object) -> None:
        """What is in work is finished and committed; the rest is for whoever reads there next."""
        try:
            async with asyncio.timeout(self._bound), self._working:
                await self._let_go()
        except AWAY as error:
            log.warning("bus.abandoned", group=self._group.name, reason=str(error))
        self._forget()

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Nothing: who held them before is looked at once there is anything to do."""

    async def _let_go(self) -> None:
        """Say of the partitions that we hold that nobody died with them."""
        offsets = {o: n for o, n in (self._at | self._owed).items() if o not in self._suspects}
        self._forget()
        await self._commit(offsets, UNHELD)

    def _forget(self) -> None:
        """What we held is somebody else's."""
        self.hand, self._at, self._owed, self._suspects = Hand(), {}, {}, {}
        self._careful = False

    async def hold(self) -> None:
        """Before anything is handled: see who held the partitions before, and say that we do."""
        if self._at:
            return
        group, link = self._reach.names.group(self._group.name), self._reach.link
        assigned = self._consumer.assignment()
        found = await link.offsets(group, assigned)
        left = [one for one, at in found.items() if at.metadata and at.metadata != marked(UNHELD)]
        ends = await self._reach.ends(left) if left else {}
        reach = 2 * self._group.limits.batch  # a batch in hand, and one not committed yet
        self._suspects = suspicious(found, ends, reach)
        if self._suspects:
            log.warning("bus.taken_over", group=self._group.name, partitions=len(self._suspects))
        at = {one: max(0, found[one].offset) for one in assigned}
        await self._commit({o: n for o, n in at.items() if o not in self._suspects}, HELD)
        self._at = at

    # -- working --------------------------------------------------------------------------------

    async def guarded(self, hand: Hand, work: Callable[[], Awaitable[None]]) -> None:
        """Do it while nobody takes our partitions away, unless that has happened already."""
        async with self._working:
            if hand is not self.hand:
                return
            try:
                await work()
            except LEFT as error:
                log.info("bus.moved_on", group=self._group.name, reason=str(error))
                self._forget()
            except AWAY as error:
                if self._unheard >= PATIENT:
                    await self.part()
                raise trouble(error, f"commit as group `{self._group.name}`") from error

    def pieces(self, hand: Hand) -> list[list[Delivery]]:
        """What may be handled side by side: suspects are handled one by one."""
        if not self._suspects:
            return [hand.left]
        alone = [one for one in hand.left if self._suspected(one)]
        free = [one for one in hand.left if not self._suspected(one)]
        return [piece for piece in (free, *([one] for one in alone)) if piece]

    def _suspected(self, delivery: Delivery) -> Suspects | None:
        found = self._suspects.get(spot(delivery))
        return found if found is not None and delivery.place.offset < found.until else None

    async def counted(self, piece: Sequence[Delivery]) -> Sequence[Delivery]:
        """Suspects with their deaths; one more is committed in case that it kills us."""
        return [await self._counted(one) for one in piece] if self._suspects else piece

    async def _counted(self, delivery: Delivery) -> Delivery:
        suspects = self._suspected(delivery)
        if suspects is None:
            return delivery
        offset = delivery.place.offset
        known = suspects.deaths if offset == suspects.first else HELD
        await self._commit({spot(delivery): offset}, known + 1)
        return accused(delivery, suspects, self._group.limits.max_attempts)

    async def stand(self, hand: Hand, settled: int) -> None:
        """Note how far `hand` is settled, and commit that now or soon.

        Nothing where it is not ours any more.
        """
        if hand is not self.hand:
            return
        for one, at in hand.offsets().items():
            if self._at.get(one) != at:
                self._owed[one] = at
            found = self._suspects.get(one)
            if found is not None and at >= found.until:
                del self._suspects[one]
        self._unpaid += settled
        if self._suspects or hand.left or self._unpaid >= self._group.limits.batch:
            await self.pay()

    async def pay(self) -> None:
        """Commit what is settled and was not committed yet."""
        if self._owed:
            await self._commit(self._owed, HELD)
            self._at |= self._owed
            self._owed, self._unpaid = {}, 0

    async def _commit(self, offsets: Offsets, deaths: int) -> None:
        """Exactly these; `LEFT` where the group went on without us."""
        if offsets:
            mark = marked(deaths)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._consumer.commit({one: (at, mark) for one, at in offsets.items()})
            except TimeoutError:
                self._unheard += 1
                raise
            self._unheard = 0
