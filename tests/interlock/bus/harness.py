"""Running groups on a bus, and waiting for what they do."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from interlock.bus import Bus, Effects, Envelope, Group, Limits, Raw
from interlock.bus.kafka import KafkaBus
from interlock.bus.redis import RedisBus
from interlock.bus.sqs import SqsBus
from interlock.bus.verdict import Surroundings
from interlock.bus.wire import canonical
from interlock.testing.build import KEYRING

T = TypeVar("T")

QUICK = Limits(first_delay=0.02, max_delay=0.1, max_attempts=3, handler_timeout=0.5)
PATIENCE = 60.0
"""Seconds after which what was awaited counts as never coming."""


def clock() -> datetime:
    """Real time: ages are looked at."""
    return datetime.now(UTC)  # noqa: TID251 - the edge of these tests


@dataclass
class Seen:
    """What handlers got, and a way to wait for it."""

    items: list[Any] = field(default_factory=list)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, item: Any) -> None:
        async with self._more:
            self.items.append(item)
            self._more.notify_all()

    async def until(self, true: Callable[[list[Any]], bool]) -> list[Any]:
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(lambda: true(self.items))
        return self.items

    async def count(self, number: int) -> list[Any]:
        return await self.until(lambda items: len(items) >= number)


@asynccontextmanager
async def running(bus: Bus, *groups: Group) -> AsyncIterator[None]:
    """The groups run on `bus` within the block, and have stopped after it."""
    tasks = [asyncio.ensure_future(bus.run(group)) for group in groups]
    try:
        yield
    finally:
        await stop(*tasks)


async def stop(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel, and wait for the end."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def open_redis(url: str, **given: Any) -> AsyncIterator[RedisBus]:
    bus = RedisBus(url, KEYRING, clock, **given)
    await bus.open()
    await bus.apply()
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def open_sqs(url: str, *, make: bool = True) -> AsyncIterator[SqsBus]:
    """Its queues are made unless they are there."""
    bus = SqsBus(url, KEYRING, clock)
    await bus.open()
    if make:
        await bus.apply()
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def open_kafka(
    url: str, redis_url: str | None, prefix: str | None = None
) -> AsyncIterator[KafkaBus]:
    """A bus with topics of its own, or those of `prefix`."""
    chosen = prefix or f"test-{secrets.token_hex(4)}:"
    bus = KafkaBus(url, Surroundings(KEYRING, clock), prefix=chosen, redis_url=redis_url)
    await bus.open()
    try:
        await bus.apply()
        yield bus
    finally:
        await bus.close()


async def eventually(ask: Callable[[], Awaitable[T]], true: Callable[[T], bool] = bool) -> T:
    """The first answer that is true enough."""
    async with asyncio.timeout(PATIENCE):
        while not true(answer := await ask()):  # noqa: ASYNC110 - a broker sets no event here
            await asyncio.sleep(0.01)
    return answer


def noting(seen: Seen) -> Callable[[Envelope[Any]], Awaitable[Effects]]:
    """A handler that notes the envelope and states nothing."""

    async def note(event: Envelope[Any]) -> Effects:
        await seen.add(event)
        return []

    return note


def resigned(raw: Raw, **attributes: str) -> Raw:
    """`raw` with other attributes, under a good code."""
    changed = Raw(raw.topic, {**raw.attributes, **attributes}, raw.body)
    return Raw(raw.topic, {**changed.attributes, "mac": KEYRING.sign(canonical(changed))}, raw.body)


def forged(raw: Raw) -> Raw:
    """`raw` with a code that nobody's key made."""
    return Raw(raw.topic, {**raw.attributes, "mac": "test:" + "0" * 64}, raw.body)
