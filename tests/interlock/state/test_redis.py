"""What only Redis can do to published state: lose, forge, restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interlock.bus import Keyring
from interlock.bus.redis.line import client_of
from interlock.embedded import valkey
from interlock.errors import Unavailable
from interlock.state import AGENTS
from interlock.state.redis import RedisStateReader, RedisStateWriter
from interlock.state.sealed import seal
from interlock.testing.build import KEYRING
from tests.interlock.state.harness import KINDS, PREFIX, agent, entry, running, until

PLACE = f"{PREFIX}state:acme:agents"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = client_of(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def writer(redis: Any) -> RedisStateWriter:
    return RedisStateWriter(redis, KEYRING, prefix=PREFIX)


@pytest.fixture
async def reader(redis: Any) -> RedisStateReader:
    reader = RedisStateReader(redis, KEYRING, KINDS, prefix=PREFIX)
    await reader.load()
    return reader


def seen(reader: RedisStateReader, name: str = "bot") -> str | None:
    found = reader.view(AGENTS).get("acme", name)
    return None if found is None else found.description


async def _forge(redis: Any, field: str, value: bytes) -> None:
    """As somebody who can write to Redis, and lacks the suite's key."""
    await redis.hset(PLACE, field, value)
    await redis.incr(f"{PREFIX}state-counter:agents")


FORGED = [
    b"99 test:00 " + agent("bot", "forged").model_dump_json().encode(),
    b"1 test:00 ",
    b"",
    b"\xff\xfe",
    b"9" * 5000 + b" x y",
    b"2 nobody:00 {}",
]


@pytest.mark.parametrize("value", FORGED)
async def test_a_forged_value_is_ignored_and_the_good_one_kept(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader, value: bytes
) -> None:
    await writer.write([entry(1, agent("bot", "good")), entry(1, agent("cat", "ours"), "cat")])
    await reader.load()
    await _forge(redis, "bot", value)
    await reader.load()
    assert (seen(reader), reader.forged) == ("good", 1)


@pytest.mark.parametrize("value", FORGED)
async def test_the_owner_puts_a_forged_value_right(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader, value: bytes
) -> None:
    await writer.write([entry(1, agent("bot", "good"))])
    await _forge(redis, "bot", value)
    await reader.load()
    assert seen(reader) is None
    await writer.write([entry(1, agent("bot", "good"))])
    await reader.load()
    assert seen(reader) == "good"


async def test_a_value_proves_nothing_in_another_place(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader
) -> None:
    await writer.write([entry(5, agent("cat", "a cat's"), "cat")])
    await _forge(redis, "bot", await redis.hget(PLACE, "cat"))
    await reader.load()
    assert (seen(reader), seen(reader, "cat"), reader.forged) == (None, "a cat's", 1)


async def test_an_older_value_that_was_ours_takes_nobody_back(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader
) -> None:
    await writer.write([entry(1, agent("bot", "old"))])
    old = await redis.hget(PLACE, "bot")
    await writer.write([entry(2, None)])
    await reader.load()
    await _forge(redis, "bot", old)
    await reader.load()
    assert seen(reader) is None


async def test_a_lost_announcement_is_made_up_for(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader
) -> None:
    async with running(reader):
        await writer.write([entry(1, agent("bot", "heard"))])
        await until(lambda: seen(reader) == "heard")
        await redis.client_kill_filter(_type="pubsub", skipme=True)
        await writer.write([entry(2, agent("bot", "found"))])
        await until(lambda: seen(reader) == "found", 1.5)


async def test_a_change_that_nobody_announced_is_found(
    redis: Any, reader: RedisStateReader
) -> None:
    async with running(reader):
        await redis.sadd(f"{PREFIX}state-tenants:agents", "acme")
        await redis.hset(PLACE, "bot", seal(entry(1, agent("bot", "found")), KEYRING))
        await redis.incr(f"{PREFIX}state-counter:agents")
        await until(lambda: seen(reader) == "found", 1.5)


async def test_an_announcement_is_followed_sooner_than_the_counter(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.state.redis.POLL_SECONDS", 1000)
    async with running(reader):
        async with asyncio.timeout(5):
            while await redis.pubsub_numsub(f"{PREFIX}state-changed") != [
                (f"{PREFIX}state-changed".encode(), 1)
            ]:
                pass
        for n in range(1, 20):
            await writer.write([entry(n, agent("bot", str(n)))])
        await until(lambda: seen(reader) == "19")


async def test_what_is_no_announcement_is_ignored(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader
) -> None:
    async with running(reader):
        await writer.write([entry(1, agent("bot", "1"))])
        await until(lambda: seen(reader) == "1")
        lies: list[bytes] = [
            b"nonsense",
            b"{}",
            b'{"kind": "agents", "tenant": "acme", "counter": 2, "fields": ["bot", "none"]}',
            b'{"kind": "other", "tenant": "acme", "counter": 2, "fields": []}',
            b'{"kind": "agents", "tenant": ["acme"], "counter": "2", "fields": 5}',
            b'{"kind": "agents", "tenant": "acme", "counter": 3, "fields": []}',
        ]
        for lie in lies:
            await redis.publish(f"{PREFIX}state-changed", lie)
        await writer.write([entry(2, agent("bot", "2"))])
        await until(lambda: seen(reader) == "2")


async def test_the_same_version_again_moves_no_counter(
    redis: Any, writer: RedisStateWriter
) -> None:
    await writer.write([entry(1, agent("bot"))])
    await writer.write([entry(1, agent("bot"))])
    assert await redis.get(f"{PREFIX}state-counter:agents") == b"1"


async def test_keys_can_be_rotated(redis: Any, writer: RedisStateWriter) -> None:
    await writer.write([entry(1, agent("bot", "good"))])
    new = {"new": b"the key of next year, 32 bytes.."}
    both = Keyring({**new, **KEYRING.keys})
    await RedisStateWriter(redis, both, prefix=PREFIX).write([entry(1, agent("bot", "good"))])
    both_reader = RedisStateReader(redis, both, KINDS, prefix=PREFIX)
    await both_reader.load()
    assert seen(both_reader) == "good"
    late = Keyring(new)
    await RedisStateWriter(redis, late, prefix=PREFIX).write([entry(1, agent("bot", "good"))])
    late_reader = RedisStateReader(redis, late, KINDS, prefix=PREFIX)
    await late_reader.load()
    assert (seen(late_reader), late_reader.forged) == ("good", 0)


async def test_a_redis_that_lost_everything_is_filled_again(
    redis: Any, writer: RedisStateWriter, reader: RedisStateReader
) -> None:
    await writer.write([entry(3, agent("bot", "kept"))])
    await reader.load()
    await redis.flushdb()
    await redis.script_flush()
    await reader.load()
    assert seen(reader) == "kept"
    await writer.write([entry(3, agent("bot", "kept")), entry(1, agent("cat", "new"), "cat")])
    await reader.load()
    assert (seen(reader), seen(reader, "cat")) == ("kept", "new")


async def test_a_reader_survives_the_restart_of_redis(tmp_path: Path) -> None:
    async with valkey(tmp_path) as server:
        client = client_of(server.url)
        writer = RedisStateWriter(client, KEYRING, prefix=PREFIX)
        reader = RedisStateReader(client, KEYRING, KINDS, prefix=PREFIX)
        await writer.write([entry(1, agent("bot", "before"))])
        await reader.load()
        async with running(reader):
            await client.shutdown(nosave=True)
            await _written(writer)
            await until(lambda: seen(reader) == "after")
            assert reader.fresh
        await client.aclose()


async def _written(writer: RedisStateWriter) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                return await writer.write([entry(2, agent("bot", "after"))])
            except Unavailable:
                await asyncio.sleep(0.02)
