"""What a warm door asks of the network for a request: counted by the server that would be asked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from tests.bench.caller import Caller
from tests.bench.edge import pages
from tests.bench.governed import prepare
from tests.components.suite import Suite, suite, upstream

READS = frozenset({"HGETALL", "HGET", "HMGET", "HSCAN", "SMEMBERS"})


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Suite, str]]:
    """A suite in front of a tool that answers at once, and the key of who may call it."""
    folder: Path = tmp_path_factory.mktemp("warm")
    with upstream("interlock.samples.echo") as echo, suite(folder / "data") as running:
        yield running, prepare(running, echo)


@asynccontextmanager
async def counted(url: str) -> AsyncIterator[Counter[str]]:
    """Commands that the suite's Redis is given, by name, and by name and key of published state."""
    client: Any = redis.asyncio.from_url(url)
    seen: Counter[str] = Counter()
    async with client.monitor() as monitor:

        async def count() -> None:
            async for one in monitor.listen():
                name, _, rest = one["command"].partition(" ")
                seen[name.upper()] += 1
                if "state:" in rest.partition(" ")[0]:
                    seen[f"{name.upper()} state"] += 1

        counting = asyncio.create_task(count())
        try:
            yield seen
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
    await client.aclose()


@pytest.mark.slow
async def test_a_warm_request_looks_up_no_catalogue_and_no_key_over_the_network(
    echoing: tuple[Suite, str],
) -> None:
    """Neither lists nor calls read published state: what they rest on is in memory."""
    running, key = echoing
    async with aiohttp.ClientSession() as session:
        caller = Caller(session, f"{running.url}/mcp", "echo__echo", key)
        await caller.call()
        await pages(session, f"{running.url}/mcp", key, "tools")
        async with counted(running.redis_url) as listing:
            for _ in range(50):
                await pages(session, f"{running.url}/mcp", key, "tools")
        async with counted(running.redis_url) as calling:
            for _ in range(50):
                await caller.call()
    assert calling.total() > 50, "what was asked for the calls themselves was not seen"
    assert not {name for name in READS if listing[f"{name} state"] or calling[f"{name} state"]}
