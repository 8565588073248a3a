"""The transport's topics and groups against the topology (`contracts/topics.py`)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from interlock.bus import Bus, Change, Keyring, Opening, open_bus
from interlock.errors import Refused, Unavailable
from interlock.runtime.planes import bus_alone, without_secret
from interlock.runtime.settings import SuiteSettings

SHOWN = 3
"""Differences that one sentence names."""


async def require_topology(bus: Bus) -> None:
    """`Refused`, with what differs, unless the transport is as the topology wants it."""
    if changes := await bus.plan():
        told = "; ".join(f"{one.what} is {one.found}, not {one.wanted}" for one in changes[:SHOWN])
        more = f" (and {len(changes) - SHOWN} more)" if len(changes) > SHOWN else ""
        raise Refused(
            f"the bus is not as the topology wants it: {told}{more}; see `interlock bus plan`"
        )


@asynccontextmanager
async def bus_opened(settings: SuiteSettings) -> AsyncIterator[Bus]:
    """The bus that the settings mean, to look at or change its topology; no service need run.

    Embedded, that is the server of the suite that runs on the data folder, else one for the moment.
    `Unavailable` where nobody is there. Whoever signs nothing needs no key.
    """
    async with AsyncExitStack() as stack:
        url = await bus_alone(settings, stack)
        opening = Opening(
            url, Keyring({}), _now, prefix=settings.prefix, redis_url=settings.redis_url
        )
        bus = open_bus(opening)
        try:
            await bus.open()
        except Unavailable as error:
            raise Unavailable(
                f"cannot reach the bus at `{without_secret(url)}`: {error.detail}; start it, or "
                "correct `INTERLOCK_BUS_URL`"
            ) from None
        stack.push_async_callback(bus.close)
        yield bus


async def plan(settings: SuiteSettings) -> Sequence[Change]:
    """How the transport differs from the topology."""
    async with bus_opened(settings) as bus:
        return await bus.plan()


async def apply(settings: SuiteSettings) -> tuple[Sequence[Change], Sequence[Change]]:
    """Make every safe change: what was made so, and what is left for a person."""
    async with bus_opened(settings) as bus:
        before = await bus.plan()
        await bus.apply()
        left = await bus.plan()
        return [one for one in before if one not in left], left


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 the runtime's edge, as in `process`
