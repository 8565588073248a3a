"""What every store of snapshots promises."""

import asyncio
import json
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.contracts.ids import Digest, TaskId
from interlock.contracts.task import Client, TaskEvent, TaskState
from interlock.errors import Refused
from interlock.testing import build
from interlock.testing.build import NOON
from services.gateway.decide import merge
from services.gateway.model import Happened, Place, Request, Sent, Snapshot
from services.gateway.store import (
    Accepting,
    Applied,
    Given,
    Giving,
    MemorySnapshots,
    Shared,
    Snapshots,
)
from tests.services.gateway.decide.test_merge import LADDER, happened
from tests.services.gateway.store.conftest import Replica

PLACE = Place("acme", "task-1")


def accepting(task_id: str = "task-1", **changed: object) -> Accepting:
    task = build.task(task_id, **changed)
    return Accepting(merge.accepted(task, NOON), build.raw(build.authenticated(task)))


async def test_what_is_accepted_is_read_back_whole(replica: Replica) -> None:
    store, new = replica("a"), accepting()
    assert await store.read(PLACE) is None
    assert await store.accept(new) is None
    assert await store.read(PLACE) == new.snapshot


async def test_the_same_request_again_is_the_same_task(replica: Replica) -> None:
    store = replica("a")
    await store.accept(accepting())
    await store.project([happened(build.held())])
    again = await store.accept(accepting(deadline=NOON + timedelta(hours=9)))
    assert isinstance(again, Snapshot)
    assert again.state is TaskState.HELD


async def test_another_request_under_the_same_id_is_refused(replica: Replica) -> None:
    store = replica("a")
    await store.accept(accepting())
    with pytest.raises(Refused) as refused:
        await store.accept(accepting(request_digest=Digest("0" * 64)))
    assert refused.value.code == "key_reused"
    assert await store.read(PLACE) == accepting().snapshot


async def test_one_of_many_at_once_is_accepted(replica: Replica) -> None:
    a, b = replica("a"), replica("b")
    said = await asyncio.gather(*(store.accept(accepting()) for store in (a, b) for _ in range(5)))
    assert sum(one is None for one in said) == 1


async def test_a_fact_is_merged_once(replica: Replica) -> None:
    store, event = replica("a"), happened(build.held())
    await store.accept(accepting())
    assert await store.project([event, event]) == [Applied.STANDS, Applied.DROPPED]
    assert [one.number for one in await store.log(PLACE, 0)] == [1]


async def test_the_log_has_milestones_and_steps_as_they_come_and_no_start_that_is_past(
    replica: Replica,
) -> None:
    store = replica("a")
    late, later = build.progressed(number=1, seq=9), build.progressed(number=1, seq=8)
    facts = [build.started(number=2), late, build.started(), build.held(), build.succeeded(), later]
    applied = await store.project([happened(fact, n) for n, fact in enumerate(facts)])
    assert applied == [
        *(Applied.STANDS, Applied.LOGGED, Applied.DROPPED),
        *(Applied.LOGGED, Applied.STANDS, Applied.LOGGED),
    ]
    log = await store.log(PLACE, 0)
    assert [(one.number, one.type) for one in log] == [
        (1, "interlock.task.started.v1"),
        (2, "interlock.task.progressed.v1"),
        (3, "interlock.task.held.v1"),
        (4, "interlock.task.succeeded.v1"),
        (5, "interlock.task.progressed.v1"),
    ]
    assert (log[1].fact, log[2].fact, log[4].fact) == (late, build.held(), later)
    assert [one.number for one in await store.log(PLACE, 2)] == [3, 4, 5]
    snapshot = await store.read(PLACE)
    assert snapshot is not None
    assert snapshot.state is TaskState.SUCCEEDED


async def test_a_request_is_unpublished_until_it_is_confirmed(replica: Replica) -> None:
    store, new = replica("a"), accepting()
    await store.accept(new)
    assert await store.unpublished(NOON) == []
    later = NOON + timedelta(seconds=10)
    (found,) = await store.unpublished(later)
    assert (found.place, found.raw) == (PLACE, new.raw)
    assert await replica("b").unpublished(later) == []
    await store.published([Sent(PLACE)])
    assert await store.unpublished(later + timedelta(seconds=10)) == []
    snapshot = await store.read(PLACE)
    assert snapshot is not None
    assert snapshot.state is TaskState.SUBMITTED


CLIENT = Client(capabilities='{"elicitation":{}}')


async def asking(store: Snapshots) -> Snapshot:
    """A task that waits for input."""
    await store.accept(replace(accepting(), request=Request('{"a":1}', CLIENT)))
    await store.project([happened(build.input_required())])
    snapshot = await store.read(PLACE)
    assert snapshot is not None
    return snapshot


def giving(asked: Snapshot, digest: str = "1" * 64) -> Giving:
    task = build.task("task-1", round=1, request_digest=Digest(digest))
    raw = build.raw(build.authenticated(task))
    return Giving(asked, task, raw, NOON + timedelta(seconds=1))


async def test_input_is_taken_once_and_is_then_what_is_to_be_published(replica: Replica) -> None:
    a, b = replica("a"), replica("b")
    asked = await asking(a)
    new = giving(asked)
    taken = await asyncio.gather(*(one.give(new) for one in (a, b, a)))
    assert sorted(taken) == [Given.TAKEN, Given.KNOWN, Given.KNOWN]
    assert await b.give(giving(asked, "2" * 64)) is Given.OTHER
    await a.published([Sent(PLACE)])  # round 0, noted late
    (found,) = await a.unpublished(NOON + timedelta(seconds=10))
    assert (found.raw, found.round) == (new.raw, 1)
    assert await b.read(PLACE) == merge.given(asked, new.task, new.now)
    await a.published([Sent(PLACE, 1)])
    assert await a.unpublished(NOON + timedelta(seconds=30)) == []


async def test_input_that_nobody_asks_for_any_more_is_not_taken(replica: Replica) -> None:
    store = replica("a")
    asked = await asking(store)
    assert await store.request(PLACE) == Request('{"a":1}', CLIENT)
    await store.project([happened(build.cancelled(), 2)])
    assert await store.give(giving(asked)) is Given.PASSED
    assert await store.answer(asked, [("sure", "1")]) is None
    assert await store.request(PLACE) is None


async def test_answers_add_up_and_the_first_of_each_key_stands(replica: Replica) -> None:
    a, b = replica("a"), replica("b")
    asked = await asking(a)
    await asyncio.gather(a.answer(asked, [("x", "1")]), b.answer(asked, [("y", '{"z": 2}')]))
    found = await b.answer(asked, [("x", "3")])
    assert found is not None
    assert json.loads("{" + found.answers[:-1] + "}") == {"x": 1, "y": {"z": 2}}
    assert await a.read(PLACE) == found
    await a.give(giving(asked))
    assert await a.answer(asked, [("z", "1")]) is None
    later = await a.read(PLACE)
    assert later is not None
    assert later.answers == ""


async def test_confirmation_takes_nothing_back(replica: Replica) -> None:
    store = replica("a")
    await store.accept(accepting())
    await store.project([happened(build.succeeded())])
    await store.published([Sent(PLACE), Sent(Place("acme", "gone"))])
    snapshot = await store.read(PLACE)
    assert snapshot is not None
    assert snapshot.state is TaskState.SUCCEEDED
    assert await store.read(Place("acme", "gone")) is None


async def test_a_task_past_its_deadline_is_asked_for_every_minute_until_it_ends(
    replica: Replica,
) -> None:
    a, b = replica("a"), replica("b")
    await a.accept(accepting())
    deadline = build.task().deadline
    assert await a.overdue(deadline + timedelta(seconds=59)) == []
    minute = deadline + timedelta(seconds=60)
    assert [task.id for task in await a.overdue(minute)] == ["task-1"]
    assert await b.overdue(minute) == []
    assert len(await b.overdue(minute + timedelta(seconds=60))) == 1
    await a.project([happened(build.failed())])
    assert await b.overdue(minute + timedelta(seconds=600)) == []


async def test_a_task_of_the_bus_is_watched_too(replica: Replica) -> None:
    store = replica("a")
    await store.project([happened(build.accepted())])
    assert len(await store.overdue(build.task().deadline + timedelta(minutes=2))) == 1
    assert [one.task.id for one in await store.recent(build.principal(), 10)] == ["task-1"]


async def test_a_principals_own_tasks_are_listed_newest_first(replica: Replica) -> None:
    store = replica("a")
    for number in range(4):
        who = build.principal("other") if number == 1 else build.principal()
        new = accepting(f"task-{number}", principal=who)
        moment = NOON + timedelta(seconds=number)
        await store.accept(Accepting(merge.accepted(new.snapshot.task, moment), new.raw))
    found = await store.recent(build.principal(), 2)
    assert [one.task.id for one in found] == ["task-3", "task-2"]


async def test_replicas_that_wait_are_told_and_the_one_that_merged_is_not(
    replica: Replica,
) -> None:
    a, b, c = replica("a"), replica("b"), replica("c")
    told: asyncio.Queue[tuple[str, Place]] = asyncio.Queue()
    stores = {"a": a, "b": b, "c": c}
    running = [
        asyncio.ensure_future(store.run(lambda place, name=name: told.put_nowait((name, place))))  # type: ignore[misc]  # the name is bound now
        for name, store in stores.items()
    ]
    await a.accept(accepting())
    await b.watch(PLACE)
    await b.watch(PLACE)
    async with asyncio.timeout(10):
        for number in range(1000):  # announcements begin once the channel is open
            await b.project([happened(build.progressed(seq=number), number)])
            await asyncio.sleep(0)
            if not told.empty():
                break
        assert await told.get() == ("a", PLACE)
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert not [name for name, _ in _drained(told) if name != "a"]


def _drained(queue: "asyncio.Queue[tuple[str, Place]]") -> list[tuple[str, Place]]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def history(seed: int) -> list[Happened]:
    """Facts of some tasks in some order, some of them twice."""
    chance = random.Random(seed)
    events = []
    for number in range(chance.randint(1, 12)):
        fact, _ = chance.choice(LADDER)
        if chance.random() < 0.4:
            fact = build.progressed(number=chance.randint(1, 12), seq=chance.randint(0, 300))
        if chance.random() < 0.1:
            fact = build.logged(seq=chance.randint(0, 300))
        task = build.task(f"task-{chance.randint(1, 2)}", round=fact.task.round)
        moved: TaskEvent = fact.model_copy(update={"task": task})
        events.append(happened(moved, number))
    return chance.choices(events, k=len(events) * 2)


@pytest.mark.parametrize("seed", range(40))
async def test_every_store_agrees_with_the_rule(replica: Replica, seed: int) -> None:
    store: Snapshots = replica("a")
    rule = MemorySnapshots(Shared(), "a")
    if seed % 2:
        await store.accept(accepting())
        await rule.accept(accepting())
    for event in history(seed):
        assert await store.project([event]) == await rule.project([event])
    for name in ("task-1", "task-2"):
        place = Place("acme", TaskId(name))
        assert await store.read(place) == await rule.read(place)
        logs = [[(m.number, m.type, m.time) for m in await s.log(place, 0)] for s in (store, rule)]
        assert logs[0] == logs[1]
