"""Who wants to hear of which resources, and that one of them has changed: state that expires.

Doors say again and again what their callers want to hear of; whoever listens to upstreams reads it.
A door that dies wants nothing any more after `LASTS` seconds. What has changed is told to all doors
at once, and to nobody later; of what an upstream is heard is there to be looked up, so that a door
promises nothing before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson
import structlog
from redis.exceptions import RedisError

from interlock.bus.wire import Keyring
from interlock.errors import Unavailable

log = structlog.get_logger()
LASTS = 15.0
"""Seconds for which a wish is there, if nobody renews it."""
MOST = 10_000
"""Wishes that are read; so many more may be there, and are not heeded."""

RENEW = """
-- KEYS: set. ARGV: milliseconds, then members.
local time = redis.call('TIME')
local until_ = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], until_, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
WANTED = """
-- KEYS: set. ARGV: most. What has not expired.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1, 'REV')
"""


class Wish(NamedTuple):
    """A resource of an upstream, by the upstream's own URI."""

    tenant: str
    server: str
    uri: str


class Changed(NamedTuple):
    """What an upstream said: that a resource, or some of its lists, may read differently now."""

    tenant: str
    server: str
    uri: str = ""
    lists: Sequence[str] = ()


class Interest(Protocol):
    """All doors' wishes together. Each method raises `Unavailable` while it cannot."""

    async def renew(self, wishes: Collection[Wish]) -> None:
        """These are wanted for another `LASTS` seconds."""

    async def wanted(self) -> frozenset[Wish]:
        """All that anybody wants now."""

    async def hear(self, wishes: Collection[Wish]) -> None:
        """For another `LASTS` seconds upstreams are heard of these, and of no others."""

    async def unheard(self, wishes: Collection[Wish]) -> frozenset[Wish]:
        """Those of them of which no upstream is heard now."""

    async def tell(self, changed: Changed) -> None:
        """All who hear now are told."""

    def heard(self) -> AsyncIterator[Changed]:
        """What has changed, from now on."""


class RedisInterest:
    """On the suite's Redis, each member and message sealed by the suite."""

    def __init__(
        self, redis: Any, keyring: Keyring, *, prefix: str = "interlock:", lasts: float = LASTS
    ) -> None:
        self._redis = redis
        self._keyring = keyring
        self._lasts = int(lasts * 1000)
        self._set = f"{prefix}interest"
        self._hears = f"{prefix}interest-heard"
        self._channel = f"{prefix}interest-changed"
        self._renew = redis.register_script(RENEW)
        self._wanted = redis.register_script(WANTED)

    async def renew(self, wishes: Collection[Wish]) -> None:
        if wishes:
            members = [self._seal(one) for one in wishes]
            await self._ask(self._renew(keys=[self._set], args=[self._lasts, *members]))

    async def wanted(self) -> frozenset[Wish]:
        members = await self._ask(self._wanted(keys=[self._set], args=[MOST]))
        return frozenset(Wish(*told) for one in members if (told := self._unseal(one)) is not None)

    async def hear(self, wishes: Collection[Wish]) -> None:
        members = [self._seal(one) for one in wishes]
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._hears)
            if members:
                pipe.sadd(self._hears, *members)
                pipe.pexpire(self._hears, self._lasts)
            await self._ask(pipe.execute())

    async def unheard(self, wishes: Collection[Wish]) -> frozenset[Wish]:
        if not wishes:
            return frozenset()
        members = [self._seal(one) for one in wishes]
        found = await self._ask(self._redis.smismember(self._hears, members))
        return frozenset(wish for wish, heard in zip(wishes, found, strict=True) if not heard)

    async def tell(self, changed: Changed) -> None:
        await self._ask(self._redis.publish(self._channel, self._seal(changed)))

    async def heard(self) -> AsyncIterator[Changed]:
        try:
            async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(self._channel)
                async for message in channel.listen():
                    if (told := self._unseal(message["data"])) is not None:
                        yield Changed(*told)
        except (RedisError, OSError) as error:
            raise Unavailable(f"what changed cannot be heard: `{error}`") from None

    async def _ask(self, asked: Any) -> Any:
        try:
            return await asked
        except (RedisError, OSError) as error:
            raise Unavailable(f"wishes cannot be kept or read: `{error}`") from None

    def _seal(self, told: Wish | Changed) -> bytes:
        body = orjson.dumps([*told])
        return b"%b %b" % (self._keyring.sign(_covered(body)).encode(), body)

    def _unseal(self, member: bytes) -> list[Any] | None:
        code, _, body = member.partition(b" ")
        if not code.isascii() or not self._keyring.proves(_covered(body), code.decode()):
            log.warning("interest.forged")
            return None
        told: list[Any] = orjson.loads(body)
        return told


def _covered(body: bytes) -> bytes:
    """What is sealed is no message and no published state: its code proves neither."""
    return b"8:interest%d:%b" % (len(body), body)


@dataclass
class MemoryInterest:
    """The twin, for tests; `clock` is monotonic."""

    clock: Callable[[], float]
    wishes: dict[Wish, float] = field(default_factory=dict)
    listeners: list["asyncio.Queue[Changed]"] = field(default_factory=list)
    hears: frozenset[Wish] = frozenset()

    async def renew(self, wishes: Collection[Wish]) -> None:
        self.wishes |= dict.fromkeys(wishes, self.clock() + LASTS)

    async def wanted(self) -> frozenset[Wish]:
        now = self.clock()
        self.wishes = {wish: until for wish, until in self.wishes.items() if until > now}
        return frozenset(self.wishes)

    async def hear(self, wishes: Collection[Wish]) -> None:
        self.hears = frozenset(wishes)

    async def unheard(self, wishes: Collection[Wish]) -> frozenset[Wish]:
        return frozenset(wishes) - self.hears

    async def tell(self, changed: Changed) -> None:
        for one in self.listeners:
            one.put_nowait(changed)

    async def heard(self) -> AsyncIterator[Changed]:
        mine: asyncio.Queue[Changed] = asyncio.Queue()
        self.listeners.append(mine)
        try:
            while True:
                yield await mine.get()
        finally:
            self.listeners.remove(mine)
