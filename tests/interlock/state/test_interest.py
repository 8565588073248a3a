"""Wishes of doors: there while somebody renews them, and believed only under the suite's seal."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from interlock.bus import Keyring
from interlock.bus.redis.line import client_of
from interlock.errors import Unavailable
from interlock.state.interest import Changed, Interest, MemoryInterest, RedisInterest, Wish
from interlock.testing.build import KEYRING
from tests.interlock.state.harness import PREFIX

NOTE = Wish("acme", "crm", "notes://today")
UPDATED = Changed("acme", "crm", lists=["tools"])
OTHER = Wish("acme", "erp", "notes://today")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = client_of(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def interest(request: pytest.FixtureRequest) -> Interest:
    if request.param == "memory":
        return MemoryInterest(monotonic)
    return RedisInterest(request.getfixturevalue("redis"), KEYRING, prefix=PREFIX)


async def test_what_any_door_wants_is_wanted(interest: Interest) -> None:
    assert await interest.wanted() == frozenset()
    await interest.renew([])
    await interest.renew([NOTE])
    await interest.renew([NOTE, OTHER])
    assert await interest.wanted() == {NOTE, OTHER}


async def test_what_is_heard_is_what_was_last_said_to_be(interest: Interest) -> None:
    assert await interest.unheard([]) == frozenset()
    assert await interest.unheard([NOTE, OTHER]) == {NOTE, OTHER}
    await interest.hear([NOTE])
    assert await interest.unheard([OTHER, NOTE]) == {OTHER}
    await interest.hear([OTHER])
    assert await interest.unheard([NOTE, OTHER]) == {NOTE}
    await interest.hear([])
    assert await interest.unheard([OTHER]) == {OTHER}


async def test_all_who_hear_are_told_what_has_changed(interest: Interest) -> None:
    doors = [aiter(interest.heard()) for _ in range(2)]
    hearing = [asyncio.ensure_future(anext(door)) for door in doors]
    async with asyncio.timeout(10):
        while not all(one.done() for one in hearing):
            await interest.tell(UPDATED)  # who does not hear yet is told nothing later
            await asyncio.wait(hearing, timeout=0.05)
    assert [one.result() for one in hearing] == [UPDATED, UPDATED]
    for door in doors:
        await door.aclose()  # type: ignore[attr-defined]  # both are generators


async def test_what_nobody_renews_is_wanted_and_heard_no_more(redis: Any) -> None:
    brief = RedisInterest(redis, KEYRING, prefix=PREFIX, lasts=0.05)
    await brief.renew([NOTE])
    await brief.hear([NOTE])
    async with asyncio.timeout(10):
        while not await brief.unheard([NOTE]):  # noqa: ASYNC110 time is what it waits for
            await asyncio.sleep(0.01)
        while await brief.wanted():  # noqa: ASYNC110 time is what it waits for
            await asyncio.sleep(0.01)
    now = [0.0]
    twin = MemoryInterest(lambda: now[0])
    await twin.renew([NOTE])
    now[0] = 60.0
    assert await twin.wanted() == frozenset()


async def test_a_wish_of_somebody_without_the_key_is_not_heeded(redis: Any) -> None:
    stranger = RedisInterest(redis, Keyring({"test": b"x" * 32}), prefix=PREFIX)
    await stranger.renew([OTHER])
    ours = RedisInterest(redis, KEYRING, prefix=PREFIX)
    await ours.renew([NOTE])
    assert await ours.wanted() == {NOTE}


async def test_while_redis_is_away_that_is_said() -> None:
    client = client_of("redis://127.0.0.1:1")
    away = RedisInterest(client, KEYRING, prefix=PREFIX)
    for asked in (away.renew([NOTE]), away.wanted(), away.tell(UPDATED), anext(away.heard())):
        with pytest.raises(Unavailable):
            await asked
    await client.aclose()
