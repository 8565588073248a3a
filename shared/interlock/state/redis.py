"""Published state in Redis: the owner's writer and everybody's reader."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError

from interlock.bus.wire import Keyring
from interlock.contracts.message import Model
from interlock.errors import Forged, Unavailable
from interlock.state.port import Entry, Kind, R, View
from interlock.state.records import Records
from interlock.state.script import STORE, Keys, announced_in
from interlock.state.sealed import seal, unseal
from interlock.state.shared_run import SharedRun

log = structlog.get_logger()
STALE_SECONDS = 5.0
POLL_SECONDS = 0.5
PATIENCE = 2.0
"""Seconds for one exchange with Redis; a load may take `LOAD_PATIENCE`."""
LOAD_PATIENCE = 30.0
HINT = TypeAdapter(tuple[str, str, str])
"""Tenant, field, and the seal of who wants it."""


class RedisStateWriter:
    """`StateWriter`; `redis` answers in bytes."""

    def __init__(self, redis: Any, keyring: Keyring, *, prefix: str = "interlock:") -> None:
        self._redis = redis
        self._keyring = keyring
        self._keys = Keys(prefix)
        self._store = redis.register_script(STORE)

    async def write(self, entries: Sequence[Entry]) -> None:
        """What is there under a forged seal, with whatever version, is replaced."""
        forged = await self._write(entries, {})
        if forged:
            await self._write([e for e in entries if _place(e) in forged], forged)

    async def _write(
        self, entries: Sequence[Entry], forged: Mapping[tuple[str, str, str], bytes]
    ) -> Mapping[tuple[str, str, str], bytes]:
        """Write; returns the forged values that were in the way."""
        groups = defaultdict(list)
        for entry in entries:
            groups[entry.kind, entry.tenant].append(entry)
        found = {}
        for (kind, tenant), group in groups.items():
            left = await self._script(kind, tenant, group, forged)
            for field, value in zip(left[::2], left[1::2], strict=True):
                place = (kind, tenant, field.decode())
                if not self._ours(place, value):
                    found[place] = value
        return found

    async def _script(
        self,
        kind: str,
        tenant: str,
        group: Sequence[Entry],
        forged: Mapping[tuple[str, str, str], bytes],
    ) -> Sequence[bytes]:
        keys = self._keys
        arguments: list[str | bytes | int] = [keys.channel, kind, tenant]
        for entry in group:
            value = seal(entry, self._keyring)
            arguments += entry.field, entry.version, value, forged.get(_place(entry), b"")
        async with _asking(LOAD_PATIENCE):
            left: Sequence[bytes] = await self._store(
                keys=[keys.values(kind, tenant), keys.counter(kind), keys.tenants(kind)],
                args=arguments,
            )
            return left

    def _ours(self, place: tuple[str, str, str], value: bytes) -> bool:
        try:
            unseal(place, value, self._keyring)
        except Forged as error:
            log.warning("state.forged", why=error.detail)
            return False
        return True


class RedisStateReader:
    """`StateReader`; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        redis: Any,
        keyring: Keyring,
        kinds: Sequence[Kind[Any]],
        *,
        prefix: str = "interlock:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.forged = 0
        """Values that were ignored because this suite had not sealed them."""
        self._redis = redis
        self._keyring = keyring
        self._keys = Keys(prefix)
        self._clock = clock
        self._confirm = SharedRun(self._refresh)
        self._views = {kind.name: Records[Model](kind, self._confirm) for kind in kinds}
        self._counters: dict[str, int] = {}
        self._lock = asyncio.Lock()
        self._refreshed_at = -math.inf
        self._away = False

    def view(self, kind: Kind[R]) -> View[R]:
        return cast("View[R]", self._views[kind.name])

    @property
    def fresh(self) -> bool:
        return self._clock() - self._refreshed_at < STALE_SECONDS

    async def load(self) -> None:
        await self._confirm()

    async def run(self) -> None:
        tasks = [asyncio.ensure_future(job) for job in (self._poll(), self._follow())]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.result()  # only a bug ends one
        finally:
            await _end(tasks)

    async def want(self, kind: Kind[Any], tenant: str, field: str) -> None:
        async with _asking(PATIENCE):
            sealed = seal(_hint(kind, tenant, field), self._keyring).decode()
            hint = orjson.dumps([tenant, field, sealed])
            await self._redis.publish(self._keys.wanted(kind.name), hint)

    async def wanted(self, kind: Kind[Any]) -> AsyncIterator[tuple[str, str]]:
        try:
            async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(self._keys.wanted(kind.name))
                async for message in channel.listen():
                    with suppress(ValidationError, Forged):
                        tenant, field, sealed = HINT.validate_json(message["data"])
                        wanted = _hint(kind, tenant, field)
                        unseal(_place(wanted), sealed.encode(), self._keyring)
                        yield tenant, field
        except (RedisError, OSError) as error:
            raise Unavailable(f"hints cannot be heard: {error}") from error

    async def _refresh(self) -> None:
        """Read the counters, and again whatever kind has another one than when it was read."""
        async with self._lock:
            asked_at = self._clock()
            names = list(self._views)
            async with _asking(PATIENCE):
                counters = await self._redis.mget([self._keys.counter(name) for name in names])
            for name, text in zip(names, counters, strict=True):
                counter = int(text or 0)
                if self._counters.get(name) != counter:
                    await self._reload(name)
                    self._counters[name] = counter
            self._refreshed_at = asked_at

    async def _reload(self, kind: str) -> None:
        async with _asking(LOAD_PATIENCE):
            tenants = [one.decode() for one in await self._redis.smembers(self._keys.tenants(kind))]
            for tenant in sorted(tenants):
                found = await self._redis.hgetall(self._keys.values(kind, tenant))
                self._take(kind, tenant, found.items())

    async def _reload_fields(self, kind: str, tenant: str, fields: Sequence[str]) -> None:
        async with _asking(LOAD_PATIENCE):
            found = await self._redis.hmget(self._keys.values(kind, tenant), fields)
        encoded = (field.encode() for field in fields)
        self._take(kind, tenant, ((f, v) for f, v in zip(encoded, found, strict=True) if v))

    def _take(self, kind: str, tenant: str, found: Iterable[tuple[bytes, bytes]]) -> None:
        entries = []
        for field, value in found:
            try:
                place = (kind, tenant, field.decode())
                entries.append(unseal(place, value, self._keyring))
            except (Forged, UnicodeDecodeError) as error:
                self.forged += 1
                log.warning("state.forged", kind=kind, tenant=tenant, why=str(error))
        self._views[kind].take(entries)

    async def _poll(self) -> None:
        """Announcements get lost; this finds what they missed."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with self._outage():
                await self._confirm()

    async def _follow(self) -> None:
        """Announcements are hints to look at once; what they say is not believed."""
        while True:
            with self._outage():
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._keys.channel)
                    async for message in channel.listen():
                        await self._heard(message["data"])
            await asyncio.sleep(POLL_SECONDS)

    async def _heard(self, data: bytes) -> None:
        announced = announced_in(data)
        if announced is None or announced.kind not in self._views:
            return
        async with self._lock:
            known = self._counters.get(announced.kind)
            if known == announced.counter - 1:
                await self._reload_fields(announced.kind, announced.tenant, announced.fields)
                known = self._counters[announced.kind] = announced.counter
        if known != announced.counter:
            await self._confirm()

    @contextmanager
    def _outage(self) -> Iterator[None]:
        """Says once that Redis is away, and once that it is back."""
        try:
            yield
        except (Unavailable, RedisError, OSError) as error:
            if not self._away:
                log.warning("state.unreachable", why=str(error))
            self._away = True
        else:
            if self._away:
                log.info("state.reachable")
            self._away = False


def _hint(kind: Kind[Any], tenant: str, field: str) -> Entry:
    """A hint is sealed like a value, of a kind that no value has."""
    return Entry(f"wanted:{kind.name}", tenant, field, 0, None)


def _place(entry: Entry) -> tuple[str, str, str]:
    return entry.kind, entry.tenant, entry.field


async def _end(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Cancel until they have ended.

    Once is not enough: redis-py sends through `asyncio.wait_for`, which on Python 3.11 forgets a
    cancellation that comes in the moment of its success (python/cpython#86296).
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)


@asynccontextmanager
async def _asking(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError) as error:
        why = str(error) or type(error).__name__
        raise Unavailable(f"published state cannot be reached: {why}") from error
