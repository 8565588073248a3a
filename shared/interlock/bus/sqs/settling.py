"""What becomes of a batch: effects and copies are sent, then the messages are deleted."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from interlock.bus.envelope import Raw
from interlock.bus.outcome import Again, Back, Delivery, Done, Outcome, Parked
from interlock.bus.port import Group
from interlock.bus.sqs import entries
from interlock.bus.sqs.broker.wire import Packed
from interlock.bus.sqs.entries import Receipt
from interlock.bus.sqs.faults import told
from interlock.bus.sqs.held import Held
from interlock.bus.sqs.publisher import Publisher, TooLarge
from interlock.bus.sqs.source import Reach, fetched
from interlock.bus.verdict import Surroundings, Verdicts
from interlock.bus.wire import Stamp
from interlock.errors import Unavailable, Unreadable

log = structlog.get_logger(__name__)

PAUSE = 1.0
"""Seconds after which what our infrastructure could not handle comes again, to whomever."""


class Settling:
    """For one member."""

    def __init__(
        self,
        group: Group,
        reach: Reach,
        publisher: Publisher,
        held: Held,
        around: Surroundings,
    ) -> None:
        self._group = group
        self._reach = reach
        self._publisher = publisher
        self._held = held
        self._now: Callable[[], datetime] = around.now
        stamp = Stamp(group.name, around.keyring, around.now)
        self._verdicts = Verdicts(group, stamp, around)

    async def open(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Outcome]]:
        """Those to be handled, with their bodies; what became already of the others.

        Those that are not yet due go back for as long as they have to wait.
        """
        now = self._now()
        soon = [one for one in deliveries if one.place.kept.due and entries.early(one, now) > 0.5]
        if soon:
            await self._replace({id(one): _later(one, now) for one in soon}, soon)
            deliveries = [one for one in deliveries if one not in soon]
        if not any(one.place.kept.claim for one in deliveries):
            return list(deliveries), []
        found = await asyncio.gather(*(self._whole(one) for one in deliveries))
        whole = [one for one in found if isinstance(one, Delivery)]
        return whole, [one for one in found if not isinstance(one, Delivery)]

    async def settle(self, outcomes: Sequence[Outcome], stop: asyncio.Event) -> None:
        """Tried until it is done; `Unavailable` where it is not and we are to stop."""
        failures = 0
        while True:
            try:
                return await self._settle(outcomes)
            except TooLarge as error:
                outcomes = [self._fitting(one, error) for one in outcomes]
            except Unavailable as error:
                if stop.is_set():
                    raise
                if not failures:
                    log.warning("bus.unsettled", group=self._group.name, reason=error.detail)
                await asyncio.sleep(min(5.0, 0.25 * 2.0**failures))
                failures = min(failures + 1, 10)

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """To anybody of the group, at once and as if they had not been delivered.

        By a copy each: a message that merely becomes visible again would look like one that
        ended its process.
        """
        now = self._now()
        copies = {id(one): entries.handed_back(one, 0.0, now) for one in deliveries}
        await self._replace(copies, deliveries)

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        effects: list[Raw] = []
        copies: dict[int, Packed] = {}
        letters: dict[str, list[Packed]] = {}
        now = self._now()
        for outcome in outcomes:
            one = outcome.delivery
            if isinstance(outcome, Done | Parked):
                effects += outcome.effects
            if isinstance(outcome, Again):
                copies[id(one)] = entries.failed(outcome, now, self._reach.address.limit)
            elif isinstance(outcome, Back):
                copies[id(one)] = entries.handed_back(one, PAUSE, now)
            elif isinstance(outcome, Parked):
                queue = self._reach.address.dead(one.raw.topic, self._group.name)
                letter = entries.dead(outcome, self._group.name, now, self._reach.address.limit)
                letters.setdefault(queue, []).append(letter)
        if effects or letters:
            await asyncio.gather(self._publisher.publish(effects), self._publisher.send(letters))
        await self._replace(copies, [outcome.delivery for outcome in outcomes])

    async def _replace(self, copies: dict[int, Packed], deliveries: Sequence[Delivery]) -> None:
        """Send the copies, delete what was delivered, let it go."""
        sends: dict[str, list[Packed]] = {}
        receipts: dict[str, list[str]] = {}
        for one in deliveries:
            receipt: Receipt = one.place
            receipts.setdefault(receipt.queue, []).append(receipt.handle)
            if id(one) in copies:
                sends.setdefault(receipt.queue, []).append(copies[id(one)])
        await self._publisher.send(sends)
        for queue, handles in receipts.items():
            with told(self._reach.address.told, queue):
                await self._reach.connection.delete(queue, handles)
        self._held.release(deliveries)
        self._held.delayed(deliveries, copies, self._now())

    async def _whole(self, one: Delivery) -> Delivery | Outcome:
        """With its body from the store, where it lies there."""
        receipt: Receipt = one.place
        if receipt.kept.claim is None:
            return one
        try:
            body = await fetched(self._reach, receipt.kept.claim)
        except (Unreadable, Unavailable) as error:
            return self._verdicts.on(one, error)
        return one._replace(raw=Raw(one.raw.topic, one.raw.attributes, body))

    def _fitting(self, outcome: Outcome, error: TooLarge) -> Outcome:
        """Parked, if its effects are what no queue takes."""
        if isinstance(outcome, Done) and any(map(self._publisher.too_large, outcome.effects)):
            return self._verdicts.on(outcome.delivery, error)
        return outcome


def _later(one: Delivery, now: datetime) -> Packed:
    return entries.handed_back(one, entries.early(one, now), now)
