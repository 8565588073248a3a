"""One consumer of a group: reads its queues, has handled, settles."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import structlog

from interlock.bus.handling import Handling
from interlock.bus.outcome import Back, Delivery
from interlock.bus.port import Group
from interlock.bus.sqs.held import Held
from interlock.bus.sqs.settling import Settling
from interlock.bus.sqs.source import Source
from interlock.bus.verdict import Surroundings
from interlock.errors import Unavailable

log = structlog.get_logger(__name__)

PATIENCE = 5.0
"""Seconds that a stop gives to SQS."""


class Member:
    """Reads, handles and settles one batch after another.

    One read of each queue is always under way; a queue is read again when what came of it is
    settled. What was received before, by whom it may have been, may have ended its process: such
    messages are handled alone, and only that one counts as received again.
    """

    def __init__(
        self,
        group: Group,
        sources: Sequence[Source],
        held: Held,
        settling: Settling,
        around: Surroundings,
    ) -> None:
        self._group = group
        self._held = held
        self._settling = settling
        self._around = around
        self._handling = Handling(group, around)
        self._sources = {source.queue: source for source in sources}
        self._reads: dict[str, asyncio.Task[list[Delivery]]] = {}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then what is in hand is finished and settled, within its time limit."""
        work = asyncio.ensure_future(self._work())
        beat = asyncio.ensure_future(self._held.beat())
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait([work], timeout=self._group.limits.handler_timeout + PATIENCE)
            raise
        finally:
            self._stop.set()
            work.cancel()
            await asyncio.wait([work])
            await self._leave()
            beat.cancel()
            await asyncio.wait([beat])

    async def _work(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                await self._once()
            except Unavailable as error:
                if not failures:
                    log.warning("bus.paused", group=self._group.name, reason=error.detail)
                await self._rest(min(5.0, 0.25 * 2.0**failures))
                failures = min(failures + 1, 10)
            else:
                if failures:
                    log.info("bus.resumed", group=self._group.name)
                failures = 0

    async def _once(self) -> None:
        if not await self._ready():
            return
        deliveries = await self._next()
        if not deliveries or not await self._ready():
            return
        try:
            await self._apart(deliveries)
        except Unavailable:
            await self._let_go(self._held.of(deliveries))
            raise
        one_by_one = any(one.killed for one in deliveries)
        if len(deliveries) < self._group.limits.batch and not one_by_one:
            await self._rest(self._group.limits.linger)

    async def _apart(self, deliveries: Sequence[Delivery]) -> None:
        fresh = [one for one in deliveries if not one.killed]
        suspects = [one for one in deliveries if one.killed]
        if suspects[1:]:
            await self._settling.give_back(suspects[1:])
        for some in (fresh, suspects[:1]):
            if some:
                await self._handle(some)

    async def _ready(self) -> bool:
        """Once the group is; False where we are to stop before."""
        while not self._group.ready():
            await self._rest(0.02)
            if self._stop.is_set():
                return False
        return True

    async def _next(self) -> list[Delivery]:
        """What has come of any queue; perhaps nothing."""
        batch = self._group.limits.batch
        for name, source in self._sources.items():
            if name not in self._reads:
                self._reads[name] = asyncio.ensure_future(self._read(source, batch))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([stop, *self._reads.values()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if self._stop.is_set():
            return []
        ended = [name for name, read in self._reads.items() if read.done()]
        reads = [self._reads.pop(name) for name in ended]
        errors = [error for read in reads if (error := read.exception())]
        deliveries = [one for read in reads if not read.exception() for one in read.result()]
        if errors and not deliveries:
            raise errors[0]
        return deliveries

    async def _read(self, source: Source, most: int) -> list[Delivery]:
        got = await source.fetch(most)
        self._held.take(got)
        return got

    async def _handle(self, deliveries: Sequence[Delivery]) -> None:
        began = perf_counter()
        whole, outcomes = await self._settling.open(deliveries)
        outcomes += await self._handling.run(whole)
        await self._settling.settle(outcomes, self._stop)
        self._around.observer.settled(self._group.name, len(deliveries), perf_counter() - began)
        if back := next((one for one in outcomes if isinstance(one, Back)), None):
            raise Unavailable(back.reason)

    async def _rest(self, seconds: float) -> None:
        """Unless we are to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _leave(self) -> None:
        # Each ends by itself; what one had, `held` has, and if it failed it had nothing.
        await asyncio.gather(*self._reads.values(), return_exceptions=True)
        await self._let_go(self._held.all())

    async def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        """Others take over at once what we did not finish; later, where SQS does not hear us."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._settling.give_back(deliveries)
        except (Unavailable, TimeoutError):
            log.info("bus.left_unsaid", group=self._group.name)
            self._held.release(deliveries)
