"""What every store of sessions promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio as aioredis

from interlock.bus.redis.line import client_of
from interlock.contracts.task import Client
from interlock.testing import build
from services.gateway.model import Session
from services.gateway.store import MemorySessions, RedisSessions, Sessions
from services.gateway.store.sessions import MOST_RESOURCES, where_of

IDLE = 0.4
"""Seconds, here."""
MINE = Session("id-1", build.principal(), "/mcp", Client(capabilities='{"elicitation":{}}'))
HERE = where_of(MINE)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Sessions]:
    if request.param == "memory":
        yield MemorySessions(IDLE)
        return
    client = client_of(request.getfixturevalue("redis_url"))
    made = RedisSessions(client, "test:", IDLE)
    yield made
    await made.aclose()
    await client.aclose()


@pytest.fixture
async def lasting(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[RedisSessions]:
    client = client_of(redis_url)
    made = RedisSessions(client, "test:", 60)
    yield made
    await made.aclose()
    await client.aclose()


async def test_a_session_is_found_as_it_was_opened(store: Sessions) -> None:
    assert await store.find(HERE) is None
    assert await store.open(MINE, 2)
    assert await store.find(HERE) == MINE


async def test_nobody_else_finds_it_and_not_elsewhere(store: Sessions) -> None:
    await store.open(MINE, 2)
    for other in (
        HERE._replace(principal=build.principal(name="other")),
        HERE._replace(principal=build.principal(tenant="evil")),
        HERE._replace(principal=build.principal(user="ana")),
        HERE._replace(route="/servers/crm/mcp"),
        HERE._replace(id="id-2"),
    ):
        assert await store.find(other) is None
        await store.close(other)
    assert await store.find(HERE) == MINE


async def test_a_session_lives_as_long_as_it_is_looked_for(store: Sessions) -> None:
    await store.open(MINE, 2)
    end = asyncio.get_running_loop().time() + 2 * IDLE
    while asyncio.get_running_loop().time() < end:
        assert await store.find(HERE) is not None
    async with asyncio.timeout(20):
        while not await store.open(MINE, 1):
            pass


async def test_there_are_so_many_and_no_more(store: Sessions) -> None:
    two, three = (replace(MINE, id=name) for name in ("id-2", "id-3"))
    assert await store.open(MINE, 2)
    assert await store.open(two, 2)
    assert not await store.open(three, 2)
    assert await store.open(replace(three, principal=build.principal(name="other")), 2)
    await store.close(HERE)
    assert await store.open(three, 2)
    assert await store.find(HERE) is None


async def test_what_changes_is_found_and_what_has_gone_stays_so(store: Sessions) -> None:
    told = Client(capabilities="{}", log_level="error")
    await store.open(MINE, 2)
    await store.set_client(HERE, told)
    await store.set_stream(HERE, "newer")
    assert await store.add_resource(HERE, "notes://a")
    assert await store.add_resource(HERE, "notes://b")
    await store.remove_resource(HERE, "notes://a")
    changed = replace(MINE, client=told, stream="newer", resources=frozenset({"notes://b"}))
    assert await store.find(HERE) == changed
    await store.close(HERE)
    await store.set_client(HERE, told)
    await store.set_stream(HERE, "newest")
    await store.add_resource(HERE, "notes://c")
    assert await store.find(HERE) is None


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_it_listens_to_so_many_resources_and_no_more(
    lasting: RedisSessions, kind: str
) -> None:
    store: Sessions = lasting if kind == "redis" else MemorySessions(60)
    await store.open(MINE, 2)
    await store.set_stream(HERE, "one")
    for n in range(MOST_RESOURCES):
        assert await store.add_resource(HERE, f"notes://{n}")
    assert not await store.add_resource(HERE, "notes://more")
    assert await store.add_resource(HERE, "notes://0"), "it does so already"


async def test_what_is_in_redis_is_good_for_nothing(lasting: RedisSessions, redis_url: str) -> None:
    await lasting.open(replace(MINE, id="a-very-secret-id"), 2)
    client = aioredis.from_url(redis_url, decode_responses=True)
    keys = [key async for key in client.scan_iter("test:*")]
    values = [str(await client.hgetall(key)) for key in keys if ":session:" in key]
    await client.aclose()
    assert values
    assert not [one for one in (*keys, *values) if "a-very-secret-id" in one]
