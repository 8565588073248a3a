"""Waiting misses nothing and outlives an outage."""

import asyncio

from interlock.contracts.task import TaskState
from interlock.errors import Unavailable
from interlock.testing import build
from interlock.testing.build import NOON
from services.gateway.decide import merge
from services.gateway.handlers.waiting import Waiters, until_final
from services.gateway.model import Place, Snapshot
from services.gateway.store import MemorySnapshots, Shared
from tests.services.gateway.decide.test_merge import happened

PLACE = Place("acme", "task-1")


class AwayOnce(MemorySnapshots):
    """Cannot be read the first time."""

    reads = 0

    async def read(self, place: Place) -> Snapshot | None:
        self.reads += 1
        if self.reads == 1:
            raise Unavailable("the snapshots are away")
        return await super().read(place)


async def test_news_before_the_start_are_not_forgotten() -> None:
    waiters, store = Waiters(asyncio.Event()), MemorySnapshots(Shared(), "a")
    with waiters.watch(PLACE) as watch:
        waiters.tell(PLACE, happened(build.succeeded(), 1))
        watch.begin(merge.accepted(build.task(), NOON))
        ended = await until_final(watch, waiters, store, lambda _: 10)
    assert (ended.state, ended.created_at) == (TaskState.SUCCEEDED, NOON)


async def test_an_announcement_that_got_lost_is_made_up_for_by_reading() -> None:
    waiters, store = Waiters(asyncio.Event()), AwayOnce(Shared(), "a")
    await store.project([happened(build.succeeded())])
    with waiters.watch(PLACE) as watch:
        watch.begin(merge.accepted(build.task(), NOON))
        ended = await until_final(watch, waiters, store, lambda _: 10)
    assert ended.state is TaskState.SUCCEEDED
    assert store.reads == 2


async def test_an_announcement_of_another_replica_is_followed_by_a_read_at_once() -> None:
    waiters, store = Waiters(asyncio.Event()), MemorySnapshots(Shared(), "a")
    with waiters.watch(PLACE) as watch:
        watch.begin(merge.accepted(build.task(), NOON))
        waiting = asyncio.ensure_future(until_final(watch, waiters, store, lambda _: 10))
        await store.project([happened(build.denied())])
        waiters.tell(PLACE)
        async with asyncio.timeout(0.5):
            assert (await waiting).state is TaskState.DENIED


async def test_patience_may_depend_on_where_the_task_stands() -> None:
    waiters, store = Waiters(asyncio.Event()), MemorySnapshots(Shared(), "a")
    with waiters.watch(PLACE) as watch:
        watch.begin(merge.accepted(build.task(), NOON))
        waiting = asyncio.ensure_future(
            until_final(
                watch, waiters, store, lambda one: 10 if one.state is TaskState.RUNNING else 0.2
            )
        )
        await asyncio.sleep(0)
        waiters.tell(PLACE, happened(build.started(), 1))
        done, _ = await asyncio.wait({waiting}, timeout=0.4)
        assert not done
        waiters.tell(PLACE, happened(build.succeeded(), 2))
        assert (await waiting).final


async def test_a_stop_wakes_all_who_wait() -> None:
    stopping = asyncio.Event()
    waiters, store = Waiters(stopping), MemorySnapshots(Shared(), "a")
    running = asyncio.ensure_future(waiters.run())
    with waiters.watch(PLACE) as watch:
        watch.begin(merge.accepted(build.task(), NOON))
        waiting = asyncio.ensure_future(until_final(watch, waiters, store, lambda _: 100))
        await asyncio.sleep(0)
        stopping.set()
        async with asyncio.timeout(0.5):
            assert not (await waiting).final
    await running
