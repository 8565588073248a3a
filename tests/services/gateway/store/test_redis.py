"""What is true of Redis alone: what is known of a write that failed, and how long things live."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aioredis

from interlock.bus import Raw
from interlock.bus.opening import entry_of
from interlock.bus.redis.entries import Place as Entry
from interlock.bus.redis.entries import delivery
from interlock.bus.redis.line import client_of
from interlock.contracts.ids import Digest
from interlock.contracts.task import TaskState
from interlock.contracts.topics import Topic
from interlock.errors import Refused, Unavailable, Unsure
from interlock.testing import build
from services.gateway.model import Place, Sent
from services.gateway.store import RedisSnapshots
from tests.services.gateway.decide.test_merge import happened
from tests.services.gateway.store.test_promises import PLACE, accepting


def snapshots(client: aioredis.Redis) -> RedisSnapshots:
    return RedisSnapshots(client, "test:", "a", keep=86400)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[aioredis.Redis]:
    client = client_of(redis_url)
    yield client
    await client.aclose()


async def test_nothing_was_written_where_nobody_listens(tmp_path: Path) -> None:
    client = client_of(f"unix://{tmp_path / 'nobody'}")
    store = snapshots(client)
    with pytest.raises(Unavailable):
        await store.accept(accepting())
    await store.close()


async def test_a_connection_that_breaks_before_the_answer_leaves_it_open(tmp_path: Path) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"EVALSHA" not in (said := await reader.read(65536)):
            writer.write(b"+OK\r\n" * said.count(b"*"))
        writer.close()

    path = str(tmp_path / "redis")
    async with await asyncio.start_unix_server(swallow, path):
        client = aioredis.from_url(f"unix://{path}", protocol=2)
        store = snapshots(client)
        with pytest.raises(Unsure):
            await store.accept(accepting())
        await store.close()
        await client.aclose()


async def test_a_write_that_redis_refuses_surely_did_nothing(client: aioredis.Redis) -> None:
    store = snapshots(client)
    await store.accept(accepting("before"))
    await client.config_set("maxmemory", "1")
    await client.config_set("maxmemory-policy", "noeviction")
    try:
        with pytest.raises(Unavailable):
            await store.accept(accepting())
    finally:
        await client.config_set("maxmemory", "0")
    assert await store.read(PLACE) is None
    await store.close()


async def test_scripts_that_redis_forgot_are_sent_again(client: aioredis.Redis) -> None:
    store = snapshots(client)
    await store.accept(accepting())
    await client.script_flush()
    assert await store.accept(accepting()) is not None
    await store.close()


async def test_a_task_lives_until_a_day_after_its_end(client: aioredis.Redis) -> None:
    store = snapshots(client)
    await store.accept(accepting())
    await store.project([happened(build.started())])
    keys = ("test:acme:task:task-1", "test:acme:log:task-1")
    assert [await client.ttl(key) for key in keys] == [-1, -1]
    await store.project([happened(build.succeeded(), 1)])
    left = [await client.ttl(key) for key in keys]
    assert all(86390 < seconds <= 86400 for seconds in left)
    await store.close()


async def test_no_id_leads_to_a_log(client: aioredis.Redis) -> None:
    store = snapshots(client)
    await store.accept(accepting())
    await store.project([happened(build.started())])
    for name in ("task-1:log", "log:task-1"):
        assert await store.read(Place("acme", name)) is None
    await store.close()


async def test_a_confirmed_request_takes_no_more_room(client: aioredis.Redis) -> None:
    store = snapshots(client)
    await store.accept(accepting())
    assert await client.hexists("test:acme:task:task-1", "out_body")
    await store.published([Sent(PLACE)])
    assert not await client.hexists("test:acme:task:task-1", "out_body")
    await store.close()


async def test_what_a_newer_version_wrote_is_shown_by_its_state(client: aioredis.Redis) -> None:
    store, new = snapshots(client), accepting()
    await store.accept(new)
    await client.hset(
        "test:acme:task:task-1",
        mapping={"type": "interlock.task.delegated.v9", "fact": "{}", "state": "running"},
    )
    snapshot = await store.read(PLACE)
    assert snapshot is not None
    assert (snapshot.state, snapshot.fact) == ("running", None)
    await store.close()


async def on_the_bus(client: aioredis.Redis) -> list[Raw]:
    """What the bus holds, as any group reads it."""
    found: Any = await client.xrange("test:bus:task.authenticated")
    return [
        delivery(
            Entry("", entry, [part for pair in fields.items() for part in pair]),
            Topic.TASK_AUTHENTICATED,
        ).raw
        for entry, fields in found
    ]


async def test_where_the_bus_is_the_same_redis_a_task_is_published_as_it_is_accepted(
    client: aioredis.Redis,
) -> None:
    store, new = (
        RedisSnapshots(client, "test:", "a", keep=86400, entry=entry_of("test:")),
        accepting(),
    )
    assert store.publishes
    assert await store.accept(new) is None
    assert await on_the_bus(client) == [new.raw]
    snapshot = await store.read(PLACE)
    assert snapshot is not None
    assert snapshot.state is TaskState.SUBMITTED
    assert not await client.zcard("test:unpublished")
    assert await store.accept(accepting()) == snapshot
    with pytest.raises(Refused):
        await store.accept(accepting(request_digest=Digest("0" * 64)))
    assert await on_the_bus(client) == [new.raw]
    await store.close()


async def test_a_task_that_the_bus_does_not_take_is_not_accepted(client: aioredis.Redis) -> None:
    store = RedisSnapshots(client, "test:", "a", keep=86400, entry=entry_of("test:"))
    await client.set("test:bus:task.authenticated", "no stream")
    with pytest.raises(Unavailable):
        await store.accept(accepting())
    assert await store.read(PLACE) is None
    await store.close()
