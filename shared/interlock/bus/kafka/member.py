"""One consumer of a group: reads, has handled, settles."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import structlog

from interlock.bus.handling import Handling
from interlock.bus.kafka import records
from interlock.bus.kafka.hand import Hand
from interlock.bus.kafka.link import PATIENCE
from interlock.bus.kafka.mover import Mover
from interlock.bus.kafka.records import Outgoing
from interlock.bus.kafka.seat import Reach, Seat
from interlock.bus.kafka.trouble import AWAY, trouble
from interlock.bus.outcome import Again, Back, Delivery, Done, Parked
from interlock.bus.port import Group
from interlock.bus.verdict import Surroundings
from interlock.errors import InterlockError, Unavailable

log = structlog.get_logger(__name__)


class Member:
    """Reads, handles and settles one batch after another.

    Effects are flushed, then exact offsets are committed. What goes wrong on the way leaves the
    offsets as they are, and what is not settled in hand.
    """

    def __init__(self, group: Group, reach: Reach, around: Surroundings) -> None:
        self._group = group
        self._reach = reach
        self._around = around
        self._handling = Handling(group, around)
        self._mover = Mover(group.name, reach.names, reach.publisher, reach.delays)
        self._seat = Seat(group, reach)
        self._idle = False
        """Nothing is in work: a stop may cut in."""
        self._stopping = False

    @property
    def group(self) -> str:
        return self._group.name

    @property
    def in_hand(self) -> Sequence[Delivery]:
        return self._seat.hand.left

    async def run(self) -> None:
        """Until cancelled; then what is in hand is finished and settled, within its time limit."""
        work = asyncio.ensure_future(self._work())
        move = asyncio.ensure_future(self._mover.run())
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stopping = True
            if self._idle:
                work.cancel()
            await asyncio.wait([work], timeout=self._group.limits.handler_timeout + PATIENCE)
            raise
        finally:
            work.cancel()
            move.cancel()
            await asyncio.wait([work, move])
            await self._seat.leave()

    async def _work(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                await self._once()
            except InterlockError as error:
                if not failures:
                    log.warning("bus.paused", group=self._group.name, reason=error.detail)
                await self._rest(min(5.0, 0.25 * 2.0**failures))
                failures = min(failures + 1, 10)
            else:
                if failures:
                    log.info("bus.resumed", group=self._group.name)
                failures = 0

    async def _once(self) -> None:
        if not self._group.ready():
            return await self._rest(0.02)
        hand = await self._next()
        while hand.left and not self._group.ready():
            if self._stopping:
                return None
            await self._rest(0.02)
        if not hand.left:
            return None
        full = len(hand.left) >= self._group.limits.batch
        await self._seat.guarded(hand, self._seat.hold)
        for piece in self._seat.pieces(hand):
            await self._seat.guarded(hand, lambda piece=piece: self._treat(hand, piece))  # type: ignore[misc]  # mypy cannot infer a default
            if self._stopping:
                return None
        if self._group.limits.linger and not full:
            await self._rest(self._group.limits.linger)
        return None

    async def _rest(self, seconds: float) -> None:
        self._idle = True
        await asyncio.sleep(seconds)
        self._idle = False

    async def _next(self) -> Hand:
        """What is still in hand, else what comes next."""
        seat = self._seat
        if seat.hand.left:
            return seat.hand
        self._idle = True
        try:
            hand = await seat.next()
        except AWAY as error:
            self._idle = False
            await seat.part()
            raise trouble(error, f"read as group `{self._group.name}`") from error
        finally:
            self._idle = False
        if not hand.left:
            await seat.guarded(hand, seat.pay)
        return hand

    async def _treat(self, hand: Hand, piece: Sequence[Delivery]) -> None:
        """Handle and settle some of what is in hand."""
        began = perf_counter()
        outcomes = await self._handling.run(await self._seat.counted(piece))
        done = [one for one in outcomes if not isinstance(one, Back)]
        await self._settle(done)
        hand.settle([one.delivery for one in done])
        await self._seat.stand(hand, len(done))
        self._around.observer.settled(self._group.name, len(piece), perf_counter() - began)
        for one in outcomes if len(done) < len(outcomes) else ():
            if isinstance(one, Back):
                raise Unavailable(one.reason)

    async def _settle(self, outcomes: Sequence[Done | Again | Parked]) -> None:
        """Effects are published, letters are written, retries are scheduled: all, or it raises."""
        names, group = self._reach.names, self._group.name
        out: list[Outgoing] = []
        later: list[tuple[str, Again]] = []
        for outcome in outcomes:
            if isinstance(outcome, Done) and not outcome.effects:
                continue
            topic = outcome.delivery.raw.topic
            if isinstance(outcome, Again):
                later.append((names.retry(topic, group), outcome))
                continue
            if isinstance(outcome, Parked):
                place, now = names.dead(topic, group), self._around.now()
                out.append(records.dead(outcome, place, group, now))
            out += [records.outgoing(names.topic(raw.topic), raw) for raw in outcome.effects]
        await self._reach.publisher.send(out)
        for place, again in later:
            await self._reach.delays.add(place, again.delay, *records.again(again, place))
        if later:
            self._mover.nudge()
