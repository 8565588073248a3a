"""Equal calls that may not be repeated: which earlier one a call is (DESIGN §5, gateway)."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from interlock.contracts.ids import Digest
from interlock.contracts.outcomes import Settlement, TaskSettled
from interlock.contracts.task import Task, TaskEvent
from interlock.testing import build
from interlock.testing.build import NOON
from services.gateway.decide import merge
from services.gateway.decide.rejoin import UNTOLD
from services.gateway.model import InDoubt, Snapshot
from services.gateway.store import Accepting, Snapshots
from tests.services.gateway.decide.test_merge import happened
from tests.services.gateway.store.conftest import LEASE, Replica


def equal(task_id: str = "task-2", **changed: Any) -> Accepting:
    """A call like `task-1`; at another time, by another principal or for another request."""
    moment = changed.pop("at", NOON)
    task = build.task(task_id, **changed)
    snapshot = merge.accepted(task, moment)
    return Accepting(snapshot, build.raw(build.authenticated(task)), rejoins=True)


async def ended(store: Snapshots, fact: TaskEvent, *, told: bool) -> None:
    """`task-1` was called, ended with `fact`, and its client left, told of it or not."""
    assert await store.accept(equal("task-1")) is None
    await store.project([happened(fact)])
    await store.leave(build.task("task-1"), told=told)


async def joins(store: Snapshots, **changed: Any) -> str | None:
    """The task that an equal call joins; None where it is its own."""
    found = await store.accept(equal(**changed))
    assert not isinstance(found, InDoubt)
    return None if found is None else found.task.id


async def decided(store: Snapshots, new: Accepting) -> Snapshot | None:
    """Asked again until nothing is in doubt."""
    async with asyncio.timeout(10):
        while isinstance(found := await store.accept(new), InDoubt):
            new = replace(new, since=found.since)
            await asyncio.sleep(0.01)
    return found


async def test_a_call_that_was_left_is_joined_at_any_replica(replica: Replica) -> None:
    await replica("a").accept(equal("task-1"))
    await replica("a").leave(build.task("task-1"), told=False)
    assert await joins(replica("b")) == "task-1"


async def test_a_call_whose_replica_was_killed_is_joined_once_its_lease_is_over(
    replica: Replica,
) -> None:
    await replica("a").accept(equal("task-1"))
    found = await decided(replica("b"), equal())
    assert found is not None
    assert found.task.id == "task-1"


async def test_an_equal_call_beside_one_that_shows_life_is_a_call_of_its_own(
    replica: Replica,
) -> None:
    a, b = replica("a"), replica("b")
    await a.accept(equal("task-1"))
    assert isinstance(await b.accept(equal()), InDoubt)
    deciding = asyncio.ensure_future(decided(b, equal()))
    while not deciding.done():
        await a.renew([build.task("task-1")])
        await asyncio.sleep(LEASE / 10)
    assert deciding.result() is None


async def test_each_earlier_call_is_joined_by_one(replica: Replica) -> None:
    store = replica("a")
    for name in ("task-1", "task-2"):
        assert await decided_alive(store, name) is None
    for name in ("task-1", "task-2"):
        await store.leave(build.task(name), told=False)
    assert {await joins(store, task_id=name) for name in ("task-3", "task-4")} == {
        "task-1",
        "task-2",
    }


async def decided_alive(store: Snapshots, name: str) -> Snapshot | None:
    """Accepted beside `task-1`, which shows life all the time."""
    deciding = asyncio.ensure_future(decided(store, equal(name)))
    while not deciding.done():
        await store.renew([build.task("task-1")])
        await asyncio.sleep(LEASE / 10)
    return deciding.result()


async def test_an_end_that_was_not_written_out_is_told_to_whoever_asks_again(
    replica: Replica,
) -> None:
    await ended(replica("a"), build.succeeded(), told=False)
    assert await joins(replica("b"), at=NOON + UNTOLD) == "task-1"


async def test_ten_minutes_after_its_end_it_is_not(replica: Replica) -> None:
    await ended(replica("a"), build.succeeded(), told=False)
    later = NOON + UNTOLD + timedelta(minutes=1)
    assert await joins(replica("b"), at=later) is None


async def test_a_call_whose_end_was_written_out_is_not_joined(replica: Replica) -> None:
    await ended(replica("a"), build.succeeded(), told=True)
    assert await joins(replica("a")) is None


async def test_a_cancelled_call_is_not_joined(replica: Replica) -> None:
    await ended(replica("a"), build.cancelled(), told=False)
    assert await joins(replica("a")) is None


@pytest.mark.parametrize("told", [True, False])
async def test_an_unknown_call_is_joined_until_it_is_settled_told_or_not(
    replica: Replica, told: bool
) -> None:
    store = replica("a")
    await ended(store, build.unknown(), told=told)
    assert await joins(store, at=NOON + timedelta(hours=20)) == "task-1"
    await store.leave(build.task("task-1"), told=True)
    await store.project([happened(settled(), 7)])
    assert await joins(store) is None


def settled() -> TaskSettled:
    return TaskSettled(task=build.task(), outcome=Settlement.SUCCEEDED, by=build.person())


async def test_a_call_that_is_waited_for_still_after_an_unknown_end_is_in_doubt_no_longer(
    replica: Replica,
) -> None:
    store = replica("a")
    await store.accept(equal("task-1"))
    await store.project([happened(build.unknown())])
    found = await decided(store, equal())
    assert found is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"principal": build.principal("other")},
        {"request_digest": Digest("0" * 64)},
    ],
    ids=["principal", "request"],
)
async def test_a_call_of_another_principal_or_for_something_else_is_no_equal(
    replica: Replica, changed: dict[str, Any]
) -> None:
    store = replica("a")
    await store.accept(equal("task-1"))
    await store.leave(build.task("task-1"), told=False)
    assert await joins(store, **changed) is None


async def test_what_may_be_repeated_is_neither_joined_nor_joins(replica: Replica) -> None:
    store = replica("a")
    await store.accept(replace(equal("task-1"), rejoins=False))
    assert await joins(store) is None
    await store.leave(build.task("task-2"), told=False)
    assert await store.accept(replace(equal("task-3"), rejoins=False)) is None


async def test_a_sign_of_life_brings_nothing_back(replica: Replica) -> None:
    store = replica("a")
    await ended(store, build.succeeded(), told=True)
    await store.renew([build.task("task-1"), task_that_never_was()])
    assert await joins(store) is None


def task_that_never_was() -> Task:
    return build.task("task-9", request_digest=Digest("9" * 64))
