"""Redis Streams: the suite's own Valkey, on a unix socket."""

import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis

from interlock.bus.redis.entries import Keys
from interlock.bus.redis.line import client_of
from interlock.bus.redis.pulse import TIME_TO_LIVE
from interlock.contracts.topics import topics_of
from interlock.runtime.settings import SuiteSettings
from tests.chaos.meddling import AT_ONCE, CONCERNS_ALL, Meddler
from tests.chaos.transports import Transport
from tests.components.proxy import Proxy, Trap, proxied
from tests.components.suite import Suite, until


class Valkey(Transport):
    """Dies and comes back with the suite's supervisor."""

    patience = TIME_TO_LIVE

    def way(self, suite: Suite) -> AbstractContextManager[Proxy]:
        return proxied(lambda: Path(unquote(urlsplit(suite.redis_url).path)))

    def behind(self, suite: Suite, proxy: Proxy) -> Mapping[str, str]:
        url = f"redis://127.0.0.1:{proxy.port}"
        return {"INTERLOCK_BUS_URL": url, "INTERLOCK_REDIS_URL": url}

    def meddler(self, suite: Suite, group: str) -> Meddler:
        return RedisMeddler(suite.redis_url, group)

    def trap(self) -> Trap:
        """Effects and acknowledgement are one transaction: what is lost is its answer."""
        return Trap(lambda sent: b"XADD" in sent and b"XACK" in sent, through=True)

    def kill(self, suite: Suite) -> None:
        pid = suite.pid("valkey")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: suite.pid("valkey") not in {None, pid}, "Valkey is started again")

    def fill(self, suite: Suite) -> None:
        """Less memory than is in use: `noeviction` refuses every write."""
        with Redis.from_url(suite.redis_url) as redis:
            (self._limit,) = redis.config_get("maxmemory").values()
            redis.config_set("maxmemory", redis.info("memory")["used_memory"] // 2)

    def drain(self, suite: Suite) -> None:
        with Redis.from_url(suite.redis_url) as redis:
            redis.config_set("maxmemory", self._limit)


@dataclass
class RedisMeddler:
    """Of a group on Redis Streams."""

    url: str
    group: str
    _keys: Keys = field(default_factory=lambda: Keys(SuiteSettings.model_fields["prefix"].default))

    async def join(self) -> None:
        self._name = f"meddler-{secrets.token_hex(4)}"
        self._redis: Any = client_of(self.url)
        self._topics = self._keys.read_by(self.group)

    async def take(self) -> Sequence[tuple[str, bytes, dict[bytes, bytes]]]:
        alive = self._keys.alive(self.group) + self._name
        await self._redis.set(alive, 1, px=1000)
        streams = dict.fromkeys(self._topics, ">")
        found = await self._redis.xreadgroup(
            self.group, self._name, streams, count=AT_ONCE, block=50
        )
        told = found.items() if isinstance(found, dict) else found or ()
        return [(key.decode(), at, fields) for key, many in told for at, fields in many]

    async def put(self, taken: Sequence[tuple[str, bytes, dict[bytes, bytes]]]) -> None:
        pipe = self._redis.pipeline(transaction=True)
        for key, _, fields in taken:
            pipe.xadd(self._keys.retry(self._topics[key], self.group), fields)
        await pipe.execute()

    async def junk(self, bodies: Sequence[bytes]) -> None:
        says: dict[Any, Any] = {**CONCERNS_ALL}
        async with client_of(self.url) as redis:
            for topic in topics_of(self.group):
                for body in bodies:
                    await redis.xadd(self._keys.retry(topic, self.group), {**says, "data": body})

    async def settle(self, taken: Sequence[tuple[str, bytes, dict[bytes, bytes]]]) -> None:
        pipe = self._redis.pipeline(transaction=True)
        for key, at, _ in taken:
            pipe.xack(key, self.group, at)
        await pipe.execute()

    async def rest(self) -> None:
        """Nothing: who does not ask gets nothing."""

    async def leave(self) -> None:
        await self._redis.aclose()
