"""What only a broker outside of the process can prove: deaths, restarts, memory."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from interlock.bus import Arrival, Effects, Envelope, Group, Raw, on
from interlock.bus.redis import RedisBus, entries
from interlock.contracts.outcomes import TaskDenied
from interlock.contracts.requests import TaskAuthenticated
from interlock.embedded import valkey
from interlock.errors import Unavailable
from interlock.testing.build import KEYRING, authenticated, denied, noon, raw
from tests.interlock.bus.child import child, says
from tests.interlock.bus.harness import (
    QUICK,
    Seen,
    eventually,
    forged,
    noting,
    open_redis,
    running,
    stop,
)

STREAM = "interlock:bus:task.authenticated"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[RedisBus]:
    async with open_redis(redis_url) as opened:
        yield opened


def policy(seen: Seen, **given: Any) -> Group:
    return Group("policy", [on(TaskAuthenticated, noting(seen))], **{"limits": QUICK, **given})


def keeping(seen: Seen) -> Group:
    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await seen.add(arrival)

    return Group("audit", keep=keep, limits=QUICK)


async def expire(redis: Any) -> None:
    """Let the time pass after which silent consumers count as dead."""
    async for key in redis.scan_iter("interlock:bus:alive:*"):
        await redis.delete(key)


async def test_who_waits_reads_at_once_what_was_published_together(
    bus: RedisBus, redis: Any
) -> None:
    read: asyncio.Queue[int] = asyncio.Queue()

    async def keep(arrivals: Sequence[Arrival]) -> None:
        read.put_nowait(len(arrivals))

    async with running(bus, Group("audit", keep=keep, limits=QUICK)):
        await eventually(lambda: redis.info("clients"), lambda told: told["blocked_clients"] == 1)
        await bus.publish([raw(authenticated(f"together-{n}")) for n in range(5)])
        assert await read.get() == 5


async def test_what_a_killed_consumer_held_is_taken_over(redis_url: str, bus: RedisBus) -> None:
    seen = Seen()
    async with child(redis_url) as process:
        await bus.publish([raw(authenticated("hang"))])
        await says(process, "hang")
        process.kill()
        await process.wait()
        async with running(bus, policy(seen)):
            (event,) = await seen.count(1)
    assert event.body.task.id == "hang"
    assert (await bus.backlog("policy"))[0].in_flight == 0


async def test_a_consumer_that_was_killed_and_left_nothing_is_forgotten(
    redis_url: str, bus: RedisBus, redis: Any
) -> None:
    async with child(redis_url) as process:
        await bus.publish([raw(authenticated("calm"))])
        await says(process, "calm")
        await eventually(lambda: bus.backlog("policy"), lambda some: some[0].in_flight == 0)
        process.kill()
        await process.wait()
    await expire(redis)
    async with running(bus, policy(Seen())):
        await eventually(
            lambda: redis.xinfo_consumers(STREAM, "policy"),
            lambda some: all(str(process.pid) not in one["name"].decode() for one in some),
        )


async def test_a_message_that_kills_its_process_is_parked_and_its_neighbours_are_not(
    redis_url: str, bus: RedisBus, redis: Any
) -> None:
    await bus.publish([raw(authenticated(name)) for name in ("a", "poison", "b")])
    for _ in range(QUICK.max_attempts):
        async with child(redis_url) as process:
            await says(process, "poison")
            assert await process.wait() == -signal.SIGKILL
        await expire(redis)
    seen = Seen()
    async with running(bus, policy(seen)):
        (letter,) = await eventually(lambda: bus.letters("policy"))
        await eventually(lambda: bus.backlog("policy"), lambda some: some[0].in_flight == 0)
    assert letter.code == "killed"
    assert letter.attempts == QUICK.max_attempts
    assert letter.raw.attributes["ce_subject"] == "poison"
    assert {event.body.task.id for event in seen.items} <= {"a", "b"}


async def test_an_orderly_stop_that_hands_back_counts_no_attempt(
    bus: RedisBus,
) -> None:
    began, seen = Seen(), Seen()

    async def hang(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        await asyncio.Event().wait()
        return []

    once = replace(QUICK, max_attempts=1, handler_timeout=60)
    group = Group("policy", [on(TaskAuthenticated, hang)], limits=once)
    task = asyncio.ensure_future(bus.run(group))
    await bus.publish([raw(authenticated())])
    await began.count(1)
    task.cancel()
    await asyncio.sleep(0)
    await stop(task)
    async with running(bus, policy(seen, limits=once)):
        await seen.count(1)
    assert await bus.letters("policy") == []


async def test_three_members_share_the_work(redis_url: str) -> None:
    seen = [Seen(), Seen(), Seen()]
    small = replace(QUICK, batch=5)
    async with open_redis(redis_url) as one, open_redis(redis_url) as two:
        buses = (one, two, two)
        groups = [policy(each, limits=small) for each in seen]
        async with running(one, groups[0]), running(two, *groups[1:]):
            await asyncio.gather(
                *(
                    buses[n % 3].publish([raw(authenticated(f"task-{n}-{m}")) for m in range(10)])
                    for n in range(60)
                )
            )
            await eventually(lambda: one.backlog("policy"), lambda some: not left(some))
    got = [event.body.task.id for each in seen for event in each.items]
    assert len(got) == len(set(got)) == 600
    assert all(each.items for each in seen)


def left(figures: Sequence[Any]) -> int:
    return sum(one.waiting + one.in_flight for one in figures)


async def test_streams_are_trimmed_only_behind_the_slowest_group(bus: RedisBus, redis: Any) -> None:
    seen, kept = Seen(), Seen()
    sent = [raw(authenticated(f"task-{n}")) for n in range(500)]
    await bus.publish(sent)
    async with running(bus, policy(seen)):
        await seen.count(500)
        lock = "interlock:bus:trimming:policy"
        await eventually(lambda: redis.exists(lock), bool)
        assert await redis.xlen(STREAM) == 500
        async with running(bus, keeping(kept)):
            await kept.count(500)
            await eventually(lambda: redis.xlen(STREAM), lambda length: length <= 1)
    assert {arrival.raw.id for arrival in kept.items} == {message.id for message in sent}


async def test_groups_that_were_lost_with_the_data_are_made_again(
    bus: RedisBus, redis: Any
) -> None:
    seen = Seen()
    async with running(bus, policy(seen)):
        await bus.publish([raw(authenticated("before"))])
        await seen.count(1)
        await redis.flushall()
        await eventually(lambda: redis.exists(STREAM), bool)
        await bus.publish([raw(authenticated("after"))])
        await seen.count(2)


async def test_suites_with_other_prefixes_do_not_meet(redis_url: str, bus: RedisBus) -> None:
    mine, theirs = Seen(), Seen()
    async with open_redis(redis_url, prefix="other:") as other:
        async with running(bus, policy(mine)), running(other, policy(theirs)):
            await bus.publish([raw(authenticated())])
            await mine.count(1)
            assert left(await other.backlog("policy")) == 0
    assert theirs.items == []


async def test_a_message_of_bytes_that_are_no_text_is_parked_as_it_lay_there(
    bus: RedisBus, redis: Any
) -> None:
    fields = {b"ce_id": b"\xff\xfe", b"\x00odd": b"\x80", b"data": b"\x00\xff"}
    async with running(bus, policy(Seen())):
        await redis.xadd(STREAM, fields)
        (letter,) = await eventually(lambda: bus.letters("policy"))
        ((_, kept),) = await redis.xrange(f"{STREAM}.policy.dead")
    assert letter.code == "forged"
    assert fields.items() <= kept.items()
    assert letter.raw.body == b"\x00\xff"


def test_an_attribute_is_what_was_published_whatever_is_in_it() -> None:
    sent = raw(denied(), cause="a\0b", traceparent="\u00e9\0")
    written = entries.xadd(STREAM, sent)[3:]
    fields = [part.encode() if isinstance(part, str) else part for part in written]
    assert entries.delivery(entries.Place(STREAM, b"1-1", fields), sent.topic).raw == sent


async def test_a_bus_that_is_not_there_says_so(tmp_path: Path) -> None:
    bus = RedisBus(f"unix://{tmp_path}/nobody.sock", KEYRING, noon)
    with pytest.raises(Unavailable, match="the bus does not serve"):
        await bus.open()
    await bus.close()


async def publish_all(bus: RedisBus, messages: Sequence[Raw]) -> None:
    """As a relay does: again and again until it is confirmed."""
    while True:
        try:
            return await bus.publish(messages)
        except Unavailable:
            await asyncio.sleep(0.02)  # the server is on its way back


async def test_a_broker_killed_under_traffic_loses_nothing(tmp_path: Path) -> None:
    kept = Seen()

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        return [denied(event.body.task)]

    group = Group("policy", [on(TaskAuthenticated, deny)], limits=QUICK)
    async with valkey(tmp_path) as server, open_redis(server.url) as bus:
        async with running(bus, group, group, keeping(kept)):
            for n in range(100):
                batch = [raw(authenticated(f"task-{n}-{m}")) for m in range(10)]
                await publish_all(bus, batch)
                if n in {30, 60} and server.pid is not None:
                    os.kill(server.pid, signal.SIGKILL)
            ends = await kept.until(lambda items: len(denials(items)) == 1000)
            await eventually(lambda: backlog_or_none(bus), lambda some: some == 0)
    assert {arrival.fact.task.id for arrival in ends if isinstance(arrival.fact, TaskDenied)} == {
        f"task-{n}-{m}" for n in range(100) for m in range(10)
    }


async def test_a_question_is_answered_though_its_connection_broke_since_the_last_one(
    bus: RedisBus, redis: Any
) -> None:
    before = await bus.backlog("policy")
    assert await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") > 0
    assert await bus.backlog("policy") == before


def denials(arrivals: Sequence[Arrival]) -> set[str]:
    return {one.raw.id for one in arrivals if isinstance(one.fact, TaskDenied)}


async def backlog_or_none(bus: RedisBus) -> int | None:
    try:
        return left(await bus.backlog("policy"))
    except Unavailable:
        return None


@asynccontextmanager
async def full(redis: Any) -> AsyncIterator[None]:
    """Memory is full within the block."""
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", used // 2)
    yield
    await redis.config_set("maxmemory", 0)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[RedisBus, Any]]:
    """A bus and a client on a server that this test may mistreat."""
    async with valkey(tmp_path) as server, open_redis(server.url) as bus:
        async with Redis.from_url(server.url) as redis:
            yield bus, redis


async def test_full_memory_loses_nothing(own: tuple[RedisBus, Any]) -> None:
    bus, redis = own
    began, kept, broken = Seen(), Seen(), [True]

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        if event.body.task.id == "fails" and broken:
            broken.pop()
            raise RuntimeError("boom")
        return [denied(event.body.task)]

    group = Group("policy", [on(TaskAuthenticated, deny)], limits=QUICK)
    names = [f"task-{n}" for n in range(50)] + ["fails"]
    await bus.publish([raw(authenticated(n)) for n in names] + [forged(raw(authenticated("f")))])
    async with AsyncExitStack() as memory:
        await memory.enter_async_context(full(redis))  # before the first batch is read
        await memory.enter_async_context(running(bus, group, keeping(kept)))
        await began.count(3 * len(names))  # given back and read again, more than once
        assert await redis.xlen("interlock:bus:task.events") == 0
        assert await bus.letters("policy") == []
        await redis.config_set("maxmemory", 0)
        await kept.until(lambda items: len(denials(items)) == len(names))
        (letter,) = await eventually(lambda: bus.letters("policy"))
    assert letter.code == "forged"


async def test_full_memory_stops_the_intake_until_there_is_room(own: tuple[RedisBus, Any]) -> None:
    bus, redis = own
    async with full(redis):
        with pytest.raises(Unavailable, match="maxmemory"):
            await bus.publish([raw(authenticated())])
        with pytest.raises(Unavailable, match="almost full"):
            await bus.check()
    await eventually(lambda: healthy(bus), bool)
    await bus.publish([raw(authenticated())])


async def test_full_memory_is_emptied_by_those_who_only_read(own: tuple[RedisBus, Any]) -> None:
    bus, redis = own
    kept, seen = Seen(), Seen()
    await bus.publish([raw(authenticated(f"task-{n}")) for n in range(200)])
    async with full(redis), running(bus, keeping(kept), policy(seen)):
        await kept.count(200)
        await eventually(lambda: redis.xlen(STREAM), lambda length: length <= 1)


async def healthy(bus: RedisBus) -> bool:
    try:
        await bus.check()
    except Unavailable:
        return False
    return True


async def test_one_look_at_the_broker_serves_all_who_ask_at_once(bus: RedisBus, redis: Any) -> None:
    """A broker that hangs keeps each door for one time limit, not for one a caller."""
    before = (await redis.info("commandstats")).get("cmdstat_info", {"calls": 0})["calls"]
    await asyncio.gather(*(bus.check() for _ in range(50)))
    after = (await redis.info("commandstats"))["cmdstat_info"]["calls"]
    assert after - before == 2, "the look, and our own question"
