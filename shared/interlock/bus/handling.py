"""From a batch of deliveries to what becomes of each: the part that all transports share."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

from interlock.bus.batch import CURRENT, Batch
from interlock.bus.envelope import Arrival, Envelope, Raw
from interlock.bus.outcome import Delivery, Done, Outcome
from interlock.bus.port import Effects, Group
from interlock.bus.verdict import Killed, Surroundings, Verdicts
from interlock.bus.wire import Stamp, opened
from interlock.contracts.message import Fact
from interlock.errors import InterlockError, Unavailable

Work = tuple[Delivery, Envelope[Fact]]


class Handling:
    """One group's handlers at work on one batch after another."""

    def __init__(self, group: Group, around: Surroundings) -> None:
        self._group = group
        self._around = around
        self._stamp = Stamp(group.name, around.keyring, around.now)
        self._verdicts = Verdicts(group, self._stamp, around)
        self._routes = {route.message: route.handler for route in group.routes}

    async def run(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """What becomes of each. Raises nothing but its own cancellation."""
        most = self._group.limits.max_attempts
        dead = [one for one in deliveries if one.killed and one.attempts >= most]
        live = [one for one in deliveries if one not in dead] if dead else deliveries
        handled = await (self._route(live) if self._group.keep is None else self._keep(live))
        return [*map(self._killed, dead), *handled]

    def _killed(self, delivery: Delivery) -> Outcome:
        (found,) = opened([delivery.raw], self._around.keyring)
        fact = None if isinstance(found, InterlockError) else found.body
        return self._verdicts.park(delivery, Killed(delivery.attempts), fact)

    # -- a group that routes --------------------------------------------------------------------

    async def _route(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        wanted: list[Delivery] = []
        for delivery in deliveries:
            if self._group.wants(delivery.raw.attributes):
                wanted.append(delivery)
            else:
                outcomes.append(Done(delivery))
        work: list[Work] = []
        found = opened([one.raw for one in wanted], self._around.keyring)
        for delivery, envelope in zip(wanted, found, strict=True):
            if isinstance(envelope, InterlockError):
                outcomes.append(self._verdicts.on(delivery, envelope))
            elif type(envelope.body) in self._routes:
                work.append((delivery, envelope))
            else:
                outcomes.append(Done(delivery))
        return outcomes + (await self._side_by_side(work) if work else [])

    async def _side_by_side(self, work: Sequence[Work]) -> list[Outcome]:
        """Handlers at once.

        An error in a shared call is the fault of one and strikes all, and so may one that hangs
        while others wait for it: then those who failed are repeated one by one.
        """
        batch = Batch(len(work))
        token = CURRENT.set(batch)
        try:
            results = await self._within_limit(batch, [self._handle(batch, one) for _, one in work])
        finally:
            CURRENT.reset(token)
            batch.close()
        for kind, number in Counter([one.body.type for _, one in work]).items():
            self._around.observer.handled(self._group.name, kind, number)
        late = sum(isinstance(result, TimeoutError) for result in results)
        shared = len(work) > 1 and (batch.broken or late > 1)
        outcomes: list[Outcome] = []
        for one, result in zip(work, results, strict=True):
            delivery, envelope = one
            if not isinstance(result, BaseException):
                stated = self._stamped(delivery.raw, result) if result else ()
                outcomes.append(Done(delivery, stated))
            elif shared and not isinstance(result, Unavailable):
                outcomes += await self._side_by_side([one])
            else:
                outcomes.append(self._verdicts.on(delivery, result, envelope.body))
        return outcomes

    async def _handle(self, batch: Batch, envelope: Envelope[Fact]) -> Effects:
        handler = self._routes[type(envelope.body)]
        try:
            span = self._around.observer.handling(self._group.name, envelope)
            if span is None:
                return await handler(envelope)
            with span:
                return await handler(envelope)
        finally:
            batch.done()

    def _stamped(self, cause: Raw, effects: Effects) -> Sequence[Raw]:
        stamped = iter(self._stamp.answer(cause, [e for e in effects if isinstance(e, Fact)]))
        return [next(stamped) if isinstance(effect, Fact) else effect for effect in effects]

    # -- a group that keeps everything ----------------------------------------------------------

    async def _keep(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        keep = self._group.keep
        if keep is None or not deliveries:
            return []

        batch = Batch(1)

        async def keeping() -> None:
            try:
                await keep(self._arrivals([delivery.raw for delivery in deliveries]))
            finally:
                batch.done()

        (result,) = await self._within_limit(batch, [keeping()])
        if not isinstance(result, BaseException):
            return [Done(delivery) for delivery in deliveries]
        if isinstance(result, Unavailable) or len(deliveries) == 1:
            return [self._verdicts.on(delivery, result) for delivery in deliveries]
        return [outcome for one in deliveries for outcome in await self._keep([one])]

    def _arrivals(self, raws: Sequence[Raw]) -> list[Arrival]:
        return [
            Arrival(raw, None, found.code, found.detail)
            if isinstance(found, InterlockError)
            else Arrival(raw, found.body)
            for raw, found in zip(raws, opened(raws, self._around.keyring), strict=True)
        ]

    # -- the time limit -------------------------------------------------------------------------

    async def _within_limit(
        self, batch: Batch, work: Sequence[Coroutine[Any, Any, Any]]
    ) -> list[Any | BaseException]:
        """Each one's result or error; `TimeoutError` for those that the time limit ended.

        Each tells `batch` when it ends: to be told by every task costs as much as the tasks do.
        """
        limit, loop = self._group.limits.handler_timeout, asyncio.get_running_loop()
        tasks = [loop.create_task(one) for one in work]
        late: set[asyncio.Task[Any]] = set()
        timer = loop.call_later(limit, batch.give_up)
        try:
            await batch.over
        finally:
            timer.cancel()
            if batch.left:
                late = {task for task in tasks if not task.done()}
            for task in late:
                task.cancel()
        if late:
            await asyncio.wait(late, timeout=1.0)
        return [_result(task, task in late, limit) for task in tasks]


def _result(task: asyncio.Task[Any], late: bool, limit: float) -> Any | BaseException:
    if late:
        return TimeoutError(f"the handler did not end within `{limit:g}` seconds")
    if task.cancelled():
        return TimeoutError("the handler was cancelled from within")
    return task.exception() or task.result()
