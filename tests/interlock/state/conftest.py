"""Each adapter of published state."""

from collections.abc import AsyncIterator

import pytest

from interlock.bus.redis.line import client_of
from tests.interlock.state.harness import World, memory_world, redis_world


@pytest.fixture(params=["memory", "redis"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield memory_world()
        return
    client = client_of(request.getfixturevalue("redis_url"))
    yield redis_world(client)
    await client.aclose()
