"""What is Kafka's own: partitions that change hands, deaths, restarts, delays beside it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from redis.asyncio import Redis

from interlock.bus import Arrival, Effects, Envelope, Group, on
from interlock.bus.kafka import KafkaBus, seat
from interlock.bus.kafka.delays import Delays
from interlock.bus.kafka.records import outgoing
from interlock.contracts.outcomes import TaskDenied
from interlock.contracts.requests import TaskAuthenticated
from interlock.errors import Refused, Unavailable
from interlock.testing.build import authenticated, denied, raw
from tests.components.kafka import Broker, kafka
from tests.components.required import Missing, without
from tests.components.scratch import quick_folder
from tests.interlock.bus.child import child, says
from tests.interlock.bus.harness import (
    QUICK,
    Seen,
    eventually,
    noting,
    open_kafka,
    running,
    stop,
)

PREFIX = "mine:"
Where = tuple[str, str, str]


@pytest.fixture
def where(kafka_url: str, redis_url: str) -> Where:
    """A broker, a Redis, and a prefix that nobody else uses."""
    return kafka_url, redis_url, f"t{time.monotonic_ns()}:"


@pytest.fixture
async def bus(where: Where) -> AsyncIterator[KafkaBus]:
    async with open_kafka(*where) as opened:
        yield opened


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that tests may mistreat."""
    try:
        with quick_folder(tmp_path_factory.mktemp("own")) as folder, kafka(folder) as broker:
            yield broker
    except Missing as missing:
        without("kafka", missing)


def policy(seen: Seen, **given: Any) -> Group:
    return Group("policy", [on(TaskAuthenticated, noting(seen))], **{"limits": QUICK, **given})


def keeping(seen: Seen) -> Group:
    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await seen.add(arrival)

    return Group("audit", keep=keep, limits=QUICK)


def left(figures: Sequence[Any]) -> int:
    return sum(one.waiting + one.in_flight for one in figures)


async def done(bus: KafkaBus) -> None:
    """Until group `policy` has nothing left."""
    await eventually(lambda: bus.backlog("policy"), lambda some: left(some) == 0)


async def test_what_a_killed_consumer_held_is_taken_over(where: Where, bus: KafkaBus) -> None:
    seen = Seen()
    async with child(*where) as process:
        await bus.publish([raw(authenticated("hang"))])
        await says(process, "hang")
        process.kill()
        await process.wait()
        async with running(bus, policy(seen)):
            (event,) = await seen.count(1)
            await done(bus)
    assert event.body.task.id == "hang"


async def test_a_message_that_kills_its_process_is_parked_and_its_neighbours_are_not(
    where: Where, bus: KafkaBus
) -> None:
    names = [f"n-{n}" for n in range(6)]
    await bus.publish([raw(authenticated(name)) for name in [*names[:3], "poison", *names[3:]]])
    for _ in range(QUICK.max_attempts):
        async with child(*where) as process:
            await says(process, "poison")
            assert await process.wait() == -signal.SIGKILL
    seen = Seen()
    async with running(bus, policy(seen)):
        (letter,) = await eventually(lambda: bus.letters("policy"))
        await done(bus)
    assert (letter.code, letter.attempts) == ("killed", QUICK.max_attempts)
    assert letter.raw.attributes["ce_subject"] == "poison"
    assert {event.body.task.id for event in seen.items} <= set(names)


async def test_an_orderly_stop_that_hands_back_counts_no_attempt(bus: KafkaBus) -> None:
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


async def test_a_batch_in_hand_is_finished_before_its_partitions_change_hands(
    where: Where, bus: KafkaBus
) -> None:
    began, kept, second, go = Seen(), Seen(), Seen(), asyncio.Event()

    async def slow(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        await go.wait()
        return [denied(event.body.task)]

    patient = replace(QUICK, handler_timeout=10)
    first = Group("policy", [on(TaskAuthenticated, slow)], limits=patient)
    await bus.publish([raw(authenticated(f"task-{n}")) for n in range(20)])
    async with open_kafka(*where) as other, running(bus, first, keeping(kept)):
        await began.count(1)
        async with running(other, policy(second, limits=patient)):
            await holders(bus, lambda state: state == "PreparingRebalance")
            go.set()
            await kept.until(lambda items: len(denials(items)) + len(second.items) >= 20)
            await done(bus)
    handled = [event.id for event in began.items + second.items]
    assert len(handled) == len(set(handled)) == 20, "handed over whole: nothing twice, nothing lost"


async def holders(bus: KafkaBus, true: Callable[[str], bool]) -> None:
    """Until the broker says so of the state of group `policy`."""
    name = bus._reach.names.group("policy")

    async def state() -> str:
        (answer,) = await bus._link.admin.describe_consumer_groups([name])
        return str(answer.groups[0][2])

    await eventually(state, true)


async def test_members_that_come_and_go_lose_nothing(where: Where, bus: KafkaBus) -> None:
    kept, names = Seen(), [f"task-{n}" for n in range(600)]

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        return [denied(event.body.task)]

    small = replace(QUICK, batch=5)
    group = Group("policy", [on(TaskAuthenticated, deny)], limits=small)
    async with open_kafka(*where) as other, running(bus, group, keeping(kept)):
        for at in range(0, 600, 150):
            async with running(other, group):
                await bus.publish([raw(authenticated(name)) for name in names[at : at + 150]])
                await kept.until(lambda items, at=at: len(denials(items)) > at)  # type: ignore[misc]  # mypy cannot infer a default
        await kept.until(lambda items: len(denials(items)) == 600)
        await done(bus)
    assert {one.fact.task.id for one in kept.items if isinstance(one.fact, TaskDenied)} == {*names}


def denials(arrivals: Sequence[Arrival]) -> set[str]:
    return {one.raw.id for one in arrivals if isinstance(one.fact, TaskDenied)}


async def test_a_broker_killed_under_traffic_loses_nothing(
    own_broker: Broker, redis_url: str
) -> None:
    kept = Seen()

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        return [denied(event.body.task)]

    group = Group("policy", [on(TaskAuthenticated, deny)], limits=QUICK)
    async with open_kafka(own_broker.url, redis_url) as bus:
        async with running(bus, group, group, keeping(kept)):
            for n in range(40):
                while True:  # as a relay does: again and again until it is confirmed
                    try:
                        batch = [raw(authenticated(f"task-{n}-{m}")) for m in range(10)]
                        await bus.publish(batch)
                        break
                    except Unavailable:
                        await asyncio.sleep(0.05)
                if n == 20:
                    own_broker.kill()
                    own_broker.launch()
            ends = await kept.until(lambda items: len(denials(items)) == 400)
            await eventually(lambda: backlog_or_none(bus), lambda some: some == 0)
    assert {one.fact.task.id for one in ends if isinstance(one.fact, TaskDenied)} == {
        f"task-{n}-{m}" for n in range(40) for m in range(10)
    }


async def test_a_client_whose_commits_get_no_answer_is_given_up(
    bus: KafkaBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(offsets: object) -> None:
        """As one may do for ever after an outage, while reads go on."""
        await asyncio.Event().wait()

    monkeypatch.setattr(seat, "PATIENCE", 3.0)
    seen = Seen()
    async with running(bus, policy(seen)):
        await bus.publish([raw(authenticated("before"))])
        await seen.count(1)
        await done(bus)
        (member,) = bus._members
        monkeypatch.setattr(member._seat._consumer, "commit", never)
        await bus.publish([raw(authenticated("after"))])
        await done(bus)
    assert {event.body.task.id for event in seen.items} == {"before", "after"}


async def backlog_or_none(bus: KafkaBus) -> int | None:
    try:
        return left(await bus.backlog("policy"))
    except Unavailable:
        return None


async def test_a_broker_that_is_down_is_said_within_bounds_and_found_again(
    own_broker: Broker, redis_url: str
) -> None:
    async with open_kafka(own_broker.url, redis_url) as bus:
        await bus.publish([raw(authenticated("before"))])
        own_broker.kill()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await bus.publish([raw(authenticated("during"))])
        assert time.monotonic() - began < 20
        with pytest.raises(Unavailable, match="confirms nothing"):
            await bus.publish([raw(authenticated("refused"))])
        with pytest.raises(Unavailable):
            await bus.check()
        own_broker.launch()
        await eventually(lambda: healthy(bus), bool)
        await bus.publish([raw(authenticated("after"))])
        seen = Seen()
        async with running(bus, policy(seen)):
            got = await seen.until(lambda items: "after" in [one.body.task.id for one in items])
    assert {one.body.task.id for one in got} == {"before", "during", "after"}


async def healthy(bus: KafkaBus) -> bool:
    try:
        await bus.check()
    except Unavailable:
        return False
    return True


async def test_suites_with_other_prefixes_do_not_meet(where: Where, bus: KafkaBus) -> None:
    mine, theirs = Seen(), Seen()
    async with open_kafka(where[0], where[1], where[2] + "x:") as other:
        async with running(bus, policy(mine)), running(other, policy(theirs)):
            await bus.publish([raw(authenticated())])
            await mine.count(1)
            assert left(await other.backlog("policy")) == 0
    assert theirs.items == []


async def test_a_message_of_bytes_that_are_no_text_is_parked_as_it_lay_there(
    where: Where, bus: KafkaBus
) -> None:
    headers = [("ce_id", b"\xff\xfe"), ("odd", b"\x80"), ("none", None)]
    hosts = where[0].partition("//")[2].partition("?")[0]
    async with running(bus, policy(Seen())), AIOKafkaProducer(bootstrap_servers=hosts) as producer:
        topic = bus._reach.names.topic(raw(authenticated()).topic)
        await producer.send_and_wait(topic, b"\x00\xff", headers=headers)
        (letter,) = await eventually(lambda: bus.letters("policy"))
        await producer.send_and_wait(topic, None, key=b"a tombstone")
        letters = await eventually(lambda: bus.letters("policy"), lambda some: len(some) == 2)
    assert (letter.code, letter.raw.body) == ("forged", b"\x00\xff")
    assert letter.raw.attributes == {"ce_id": r"\xff\xfe", "odd": r"\x80", "none": ""}
    assert letters[1].raw.body == b""


class NoUtf8(str):
    """A header's name that no client of Kafka writes, and anybody's own can."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


async def test_a_record_that_the_client_cannot_read_is_parked_and_its_neighbours_are_handled(
    where: Where, bus: KafkaBus
) -> None:
    sent, seen = [raw(authenticated(f"task-{n}")) for n in range(40)], Seen()
    hosts = where[0].partition("//")[2].partition("?")[0]
    topic = bus._reach.names.topic(sent[0].topic)
    async with AIOKafkaProducer(bootstrap_servers=hosts) as producer:
        for partition in await producer.partitions_for(topic):
            await bus.publish(sent[partition * 20 : partition * 20 + 10])
            batch = producer.create_batch()
            batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 1000)
            batch.append(timestamp=None, key=b"k", value=b"v", headers=[(NoUtf8("x"), b"y")])
            await (await producer.send_batch(batch, topic, partition=partition))
            await bus.publish(sent[partition * 20 + 10 : partition * 20 + 20])
    await bus.backlog("policy")
    async with running(bus, policy(seen)):
        await seen.until(lambda some: len({event.id for event in some}) == 40)
        letters = await eventually(lambda: bus.letters("policy"), lambda some: len(some) == 2)
        await done(bus)
    assert {"no UTF-8" in letter.raw.attributes["unreadable"] for letter in letters} == {True}


async def test_a_group_without_a_redis_to_wait_in_is_refused(where: Where) -> None:
    async with open_kafka(where[0], None, where[2]) as bus:
        with pytest.raises(Refused, match="needs the Redis"):
            await bus.run(policy(Seen()))


async def test_what_a_dead_mover_had_taken_is_moved_by_another(redis_url: str) -> None:
    first, second = Delays(redis_url, PREFIX), Delays(redis_url, PREFIX)
    record = outgoing("t.retry", raw(authenticated()))
    for _ in range(2):  # its cause was delivered again: the same attempt, kept once
        await first.add("t.retry", 0.0, "one/1", record)
    _, (due,) = await eventually(lambda: first.take(["t.retry"]), lambda took: bool(took[1]))
    wait, others = await second.take(["t.retry"])
    assert (due.record, others) == (record, [])
    assert wait is not None and 0 < wait <= 5
    async with Redis.from_url(redis_url) as redis:
        await redis.zadd(f"{PREFIX}bus:t.retry:due", {"one/1": 0})  # its lease has ended
        _, (again,) = await second.take(["t.retry"])
        await second.moved([again])
        assert again.record == record
        assert await redis.keys() == []
    await first.close()
    await second.close()


async def test_a_group_waits_for_the_redis_that_it_needs(where: Where, tmp_path: Path) -> None:
    tries, url = Seen(), f"unix://{tmp_path}/nobody.sock"

    async def fail(event: Envelope[TaskAuthenticated]) -> Effects:
        await tries.add(event)
        raise RuntimeError("boom")

    async with open_kafka(where[0], url, where[2]) as bus:
        group = Group("policy", [on(TaskAuthenticated, fail)], limits=QUICK)
        async with running(bus, group):
            await bus.publish([raw(authenticated())])
            await tries.count(QUICK.max_attempts + 1)
    async with open_kafka(*where) as bus:
        seen = Seen()
        assert await bus.letters("policy") == []
        async with running(bus, policy(seen)):
            await seen.count(1)


async def test_a_message_that_is_too_large_is_refused_and_the_next_one_is_not(
    bus: KafkaBus,
) -> None:
    for size in (9 << 20, 11 << 20):  # the broker's limit, and the client's
        large = raw(authenticated())
        with pytest.raises(Refused, match="larger than the bus takes"):
            await bus.publish([large._replace(body=bytes(size))])
    for n in range(4):
        await bus.publish([raw(authenticated(f"task-{n}"))])
    assert left(await bus.backlog("policy")) == 4


async def test_whoever_gives_up_waiting_holds_up_nobody(bus: KafkaBus) -> None:
    gone = [
        asyncio.ensure_future(bus.publish([raw(authenticated(f"gone-{n}"))])) for n in range(20)
    ]
    await asyncio.sleep(0)
    for one in gone:
        one.cancel()
    await bus.publish([raw(authenticated("stays"))])
    await asyncio.wait(gone)
