"""One consumer of a group: reads, has handled, settles; takes over from consumers that died."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import structlog
from redis.exceptions import ResponseError

from interlock.bus.envelope import Raw
from interlock.bus.handling import Handling
from interlock.bus.outcome import Again, Back, Delivery, Done, Outcome, Parked
from interlock.bus.port import Group
from interlock.bus.redis import entries, scripts
from interlock.bus.redis.entries import Keys, Place, Seen
from interlock.bus.redis.groups import create_groups
from interlock.bus.redis.line import PATIENCE, Client, Command, Line, refused
from interlock.bus.redis.pulse import Pulse
from interlock.bus.verdict import Surroundings
from interlock.errors import Unavailable

log = structlog.get_logger(__name__)

BLOCK = 0.5
"""Seconds that one read waits for messages."""


@dataclass(frozen=True)
class Reach:
    """Redis, and how the bus's keys are called there."""

    client: Client
    keys: Keys
    seen: Seen = field(default_factory=Seen)


class Member:
    """Reads, handles and settles one batch after another over one connection.

    A settlement and the next read leave in one write. Whatever goes wrong on the way, what was
    read stays pending under our name; after a rest it is read again from there.
    """

    def __init__(self, group: Group, name: str, reach: Reach, around: Surroundings) -> None:
        self._group = group
        self._name = name
        self._keys = reach.keys
        self._around = around
        self._handling = Handling(group, around)
        self._line = Line(reach.client)
        self._pulse = Pulse(group.name, name, Line(reach.client), reach.keys)
        self._streams = reach.keys.read_by(group.name)
        self._topics = {key.encode(): (key, topic) for key, topic in self._streams.items()}
        self._seen = reach.seen
        self._read: Command = (
            *("XREADGROUP", "GROUP", group.name, name, "COUNT", group.limits.batch),
            *("BLOCK", int(BLOCK * 1000), "STREAMS", *self._streams),
            *(">" for _ in self._streams),
        )
        self._asked = False
        """The next read is on its way already."""
        self._unsure = True
        """Something may be pending under our name that is not in hand."""
        self._idle = False
        """Nothing is in hand: a stop may cut in."""
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled; then what is in hand is finished and settled, within its time limit."""
        work = asyncio.ensure_future(self._work())
        beat = asyncio.ensure_future(self._pulse.run())
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
            beat.cancel()
            await asyncio.wait([work, beat])
            await self._leave()

    async def _work(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                await self._once()
            except Unavailable as error:
                if not failures:
                    log.warning("bus.paused", group=self._group.name, reason=error.detail)
                self._asked, self._unsure = False, True
                await self._line.drop()
                await self._rest(min(5.0, 0.25 * 2.0**failures))
                failures = min(failures + 1, 10)
            else:
                if failures:
                    log.info("bus.resumed", group=self._group.name)
                failures = 0

    async def _once(self) -> None:
        if not self._asked and not self._group.ready():
            return await self._rest(0.02)
        if self._unsure:
            return await self._recover()
        if self._pulse.orphaned and not self._asked:
            return await self._adopt(self._pulse.orphaned.pop())
        deliveries = await self._next()
        while deliveries and not self._group.ready():
            if self._stopping:
                return None
            await self._rest(0.02)
        if deliveries:
            gather = self._group.limits.linger if len(deliveries) < self._group.limits.batch else 0
            await self._settle(deliveries, await self._timed(deliveries), then_read=not gather)
            if gather:
                await self._rest(gather)
        return None

    async def _rest(self, seconds: float) -> None:
        self._idle = True
        await asyncio.sleep(seconds)
        self._idle = False

    # -- reading --------------------------------------------------------------------------------

    async def _next(self) -> list[Delivery]:
        if not self._asked:
            await self._line.send([self._read])
        self._idle = True
        (answer,) = await self._line.answers(1, BLOCK + PATIENCE)
        self._idle = self._asked = False
        if isinstance(answer, ResponseError):
            raise refused(answer)
        read = answer.items() if isinstance(answer, dict) else answer or ()
        return [
            self._seen.delivery(Place(name, entry, fields), topic)
            for key, found in read
            for name, topic in (self._topics[key],)
            for entry, fields in found
        ]

    async def _recover(self) -> None:
        """After a start or a failure: groups exist, we live, nothing is forgotten under our name.

        Repeats that we survived are no attempts, so all but the last delivery count as deaths.
        """
        await create_groups(self._line, self._keys)
        await self._pulse.beat(self._line)
        taken = await self._take(self._name)
        deliveries = [self._delivery(place, max(0, count - 1)) for place, count in taken]
        if deliveries:
            await self._settle(deliveries, await self._timed(deliveries))
        else:
            self._unsure = False

    async def _adopt(self, dead: str) -> None:
        """What a dead consumer held, one by one: one of them may be what killed it.

        The delivery is counted before it is handled, and only its own.
        """
        while taken := await self._take(dead):
            log.warning("bus.taken_over", group=self._group.name, consumer=dead, count=len(taken))
            for place, count in taken:
                if self._stopping:
                    return
                claim = ("XCLAIM", place.key, self._group.name, self._name, 0, place.entry)
                (answer,) = await self._line.ask((*claim, "RETRYCOUNT", count + 1, "JUSTID"))
                if isinstance(answer, ResponseError):
                    raise refused(answer)
                alone = [self._delivery(place, count)]
                await self._settle(alone, await self._timed(alone), then_read=False)

    async def _take(self, holder: str) -> list[tuple[Place, int]]:
        """Pending entries of `holder`, ours now, with the number of their deliveries."""
        keys = (self._keys.alive(self._group.name) + holder, *self._streams)
        arguments = (self._group.name, self._name, holder, self._group.limits.batch)
        (answer,) = await self._line.ask(("EVAL", scripts.TAKE, len(keys), *keys, *arguments))
        if isinstance(answer, ResponseError):
            raise refused(answer)
        streams = list(self._streams)
        return [
            (Place(streams[stream], entry, fields), count)
            for stream, entry, fields, count in answer
        ]

    def _delivery(self, place: Place, deaths: int) -> Delivery:
        return entries.delivery(place, self._streams[place.key], deaths)

    async def _timed(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        self._began = perf_counter()
        return await self._handling.run(deliveries)

    # -- settling -------------------------------------------------------------------------------

    async def _settle(
        self, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome], then_read: bool = True
    ) -> None:
        """Effects and acknowledgements, all or none, and the next read behind them."""
        commands: list[Command] = []
        settled: list[Place] = []
        back: Back | None = None
        for outcome in outcomes:
            if isinstance(outcome, Back):
                back = outcome
                continue
            settled.append(outcome.delivery.place)
            if not isinstance(outcome, Done) or outcome.effects:
                commands += self._effects(outcome)
        acks: list[Command] = [
            ("XACK", key, self._group.name, *acked)
            for key, acked in entries.together(settled).items()
        ]
        whole = [("MULTI",), *commands, *acks, ("EXEC",)] if commands else acks
        free = not (back or self._stopping or self._unsure or self._pulse.orphaned)
        self._asked = free and then_read and self._group.ready()
        await self._line.send([*whole, self._read] if self._asked else whole)
        self._check(await self._line.answers(len(whole)), len(whole) - len(acks))
        seconds = perf_counter() - self._began
        self._around.observer.settled(self._group.name, len(deliveries), seconds)
        if commands and any(isinstance(outcome, Again) for outcome in outcomes):
            self._pulse.nudge()
        if back is not None:
            raise Unavailable(back.reason)

    def _effects(self, outcome: Outcome) -> list[Command]:
        if isinstance(outcome, Done):
            return self._stated(outcome.effects)
        if isinstance(outcome, Again):
            topic = outcome.delivery.raw.topic
            key = self._keys.delayed(topic, self._group.name)
            milliseconds = int(outcome.delay * 1000)
            return [("EVAL", scripts.DELAY, 1, key, milliseconds, entries.delayed(outcome))]
        if isinstance(outcome, Parked):
            topic, group = outcome.delivery.raw.topic, self._group.name
            letter, fields = entries.dead(outcome, group, self._around.now())
            keys = (self._keys.dead(topic, group), self._keys.letters(topic, group))
            park: Command = ("EVAL", scripts.PARK, 2, *keys, letter, *fields)
            return [park, *self._stated(outcome.effects)]
        return []

    def _stated(self, effects: Sequence[Raw]) -> list[Command]:
        return [entries.xadd(self._keys.stream(raw.topic), raw) for raw in effects]

    def _check(self, answers: Sequence[Any], transaction: int) -> None:
        """`Unavailable` unless everything was done."""
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise refused(answer)
        if not transaction:
            return
        for answer in answers[-1]:
            if isinstance(answer, ResponseError):
                # Acknowledged all the same: only a key of another type, made by hand, does that.
                log.error("bus.effect_lost", group=self._group.name, reason=str(answer))
                raise refused(answer)

    async def _leave(self) -> None:
        """Others take over at once what we could not finish."""
        keys = (self._keys.alive(self._group.name) + self._name, *self._streams)
        try:
            await self._line.drop()
            await self._line.ask(
                ("EVAL", scripts.LEAVE, len(keys), *keys, self._group.name, self._name), within=1.0
            )
        except Unavailable:
            log.info("bus.left_unsaid", group=self._group.name)
        finally:
            await self._line.drop()
            await self._pulse.close()
