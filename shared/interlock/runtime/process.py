"""What one process of the suite holds open, whichever services it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from interlock.bus import Bus, BusEntry, Keyring, Opening, open_bus
from interlock.bus.opening import REDIS, entry_of
from interlock.bus.redis.line import client_of
from interlock.contracts.topics import SERVICES
from interlock.errors import Refused, Unavailable
from interlock.identity.introspection import Introspection
from interlock.identity.keys import load_keyring, load_trust
from interlock.identity.statements import Trust
from interlock.identity.tokens import Tokens
from interlock.runtime.planes import open_planes, without_secret
from interlock.runtime.settings import SuiteSettings
from interlock.runtime.topology import require_topology
from interlock.state import (
    AGENTS,
    API_KEYS,
    CATALOGUE,
    ISSUERS,
    POLICY,
    REVOCATIONS,
    TOOLSETS,
    USERS,
)
from interlock.state.port import StateReader, StateWriter
from interlock.state.redis import RedisStateReader, RedisStateWriter
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.observer import BusObserver
from interlock.telemetry.traces import Traces, open_traces

KINDS = (AGENTS, API_KEYS, CATALOGUE, ISSUERS, POLICY, REVOCATIONS, TOOLSETS, USERS)


@dataclass(frozen=True)
class Process:
    """Shared by the services of one process."""

    settings: SuiteSettings
    redis: Any
    bus: Bus
    keyring: Keyring = field(repr=False)
    trust: Trust
    reader: StateReader
    writer: StateWriter
    tokens: Tokens
    traces: Traces
    metrics: Metrics
    now: Callable[[], datetime]
    bus_entry: BusEntry | None = None
    """See `Host`."""


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 the runtime's edge: everybody else is given a clock


@asynccontextmanager
async def open_process(settings: SuiteSettings, *, join: bool) -> AsyncIterator[Process]:
    """Open everything; `join` as `open_planes` takes it. Embedded, what is missing is made.

    Raises `Refused` for settings that cannot work, `Unavailable` where something is not there.
    """
    async with AsyncExitStack() as stack:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        planes = await open_planes(settings, stack, join=join)
        client = await _connect(planes.redis_url, stack)
        keyring = load_keyring(settings.keys_folder, create=settings.embedded)
        trust = load_trust(settings.keys_folder, create=SERVICES if settings.embedded else ())
        metrics, traces = Metrics(), open_traces()
        stack.callback(traces.close)
        opening = Opening(
            planes.bus_url,
            keyring,
            _now,
            prefix=settings.prefix,
            observer=BusObserver(metrics, traces),
            redis_url=planes.redis_url,
        )
        bus = await _bus(opening, settings, stack)
        reader = RedisStateReader(client, keyring, KINDS, prefix=settings.prefix)
        await reader.load()
        yield Process(
            settings=settings,
            redis=client,
            bus=bus,
            bus_entry=entry_of(settings.prefix) if planes.bus_url == planes.redis_url else None,
            keyring=keyring,
            trust=trust,
            reader=reader,
            writer=RedisStateWriter(client, keyring, prefix=settings.prefix),
            tokens=_tokens(reader, settings, Introspection(keyring)),
            traces=traces,
            metrics=metrics,
            now=_now,
        )


def _tokens(reader: StateReader, settings: SuiteSettings, asking: Introspection) -> Tokens:
    return Tokens(reader, audiences=audiences(settings), now=_now, introspection=asking)


def audiences(settings: SuiteSettings) -> tuple[str, ...]:
    """What a token's `aud` may say here: the edge and its MCP endpoint (RFC 8707)."""
    return (settings.url, f"{settings.url}/mcp")


async def _bus(opening: Opening, settings: SuiteSettings, stack: AsyncExitStack) -> Bus:
    """Embedded, its topology is made; elsewhere people do, and nothing starts on a wrong one."""
    bus = open_bus(opening)
    await bus.open()
    stack.push_async_callback(bus.close)
    if settings.embedded:
        await bus.apply()
    await require_topology(bus)
    return bus


async def _connect(url: str, stack: AsyncExitStack) -> Any:
    if urlsplit(url).scheme not in REDIS:
        raise Refused(
            f"`{url.partition(':')[0]}` is no scheme of a Redis URL; give one of "
            + ", ".join(f"`{scheme}://`" for scheme in REDIS)
        )
    client = client_of(url)
    stack.push_async_callback(client.aclose)
    try:
        await client.ping()
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"cannot reach Redis at `{without_secret(url)}`: {error}; start it, or correct "
            "`INTERLOCK_BUS_URL` and `INTERLOCK_REDIS_URL`"
        ) from None
    return client
