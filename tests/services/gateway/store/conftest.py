"""Every store of snapshots, as replicas see it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from interlock.bus.redis.line import client_of
from services.gateway.store import MemorySnapshots, RedisSnapshots, Shared, Snapshots

Replica = Callable[[str], Snapshots]
LEASE = 0.3
"""Seconds, here."""


@pytest.fixture(params=["memory", "redis"])
async def replica(request: pytest.FixtureRequest) -> AsyncIterator[Replica]:
    """Makes a replica's store by its name."""
    if request.param == "memory":
        shared = Shared()
        yield lambda name: MemorySnapshots(shared, name, lease=LEASE)
        return
    async with AsyncExitStack() as stack:
        url = request.getfixturevalue("redis_url")

        def make(name: str) -> Snapshots:
            client = client_of(url)
            stack.push_async_callback(client.aclose)
            store = RedisSnapshots(client, "test:", name, keep=86400, lease=LEASE)
            stack.push_async_callback(store.close)
            return store

        yield make
