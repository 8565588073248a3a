"""What happens to a task is told in its order, whole and once, to who asked for it."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from interlock.contracts.outcomes import TaskProgressed
from interlock.contracts.task import Task, TaskEvent
from interlock.testing import build
from interlock.testing.build import NOON
from services.gateway.decide import merge
from services.gateway.handlers import listener
from services.gateway.handlers.listener import Listener, Telling
from services.gateway.handlers.waiting import Waiters, until_final
from services.gateway.model import Milestone, Place
from services.gateway.store import LOG_AT_ONCE, MOST_PROGRESS, MemorySnapshots, Shared
from tests.services.gateway.decide.test_merge import happened
from tests.services.gateway.decide.test_steps import ending

PLACE = Place("acme", "task-1")


class Paged(MemorySnapshots):
    """Counts how often its log is read, and gives it in parts as the real one does."""

    reads = 0

    async def log(self, place: Place, after: int) -> Sequence[Milestone]:
        self.reads += 1
        return (await super().log(place, after))[:LOG_AT_ONCE]


class Heard:
    """A listener's notes."""

    def __init__(self) -> None:
        self.notes: list[float | str] = []

    async def progress(self, progress: float, total: float | None, message: str) -> None:
        self.notes.append(progress)

    async def logged(self, entry: str) -> None:
        self.notes.append(entry)


def at(progress: float, seq: int, number: int = 1, of: Task | str = "task-1") -> TaskProgressed:
    fact = build.progressed(of, number=number, seq=seq)
    return fact.model_copy(update={"progress": progress})


ENTRY = build.logged().entry
FACTS: list[TaskEvent] = [
    build.started(),
    at(1, 1),
    build.logged(seq=2),
    at(2, 3),
    at(2, 4),
    build.logged(seq=5),
    build.succeeded(),
]


async def waited(listener: Listener, *facts: TaskEvent, here: bool, of: Task | None = None) -> int:
    """How often the log was read until the end of a task, whose facts come all at once."""
    shared, waiters = Shared(), Waiters(asyncio.Event())
    store = Paged(shared, "a")
    with waiters.watch(PLACE) as watch:
        watch.begin(merge.accepted(of or build.task(), NOON))
        telling = Telling(listener, store, PLACE, of.round if of else 0)
        moved = telling if listener.curious else None
        waiting = asyncio.ensure_future(until_final(watch, waiters, store, lambda _: 10, moved))
        await asyncio.sleep(0)
        events = [happened(fact, number) for number, fact in enumerate(facts)]
        await (store if here else MemorySnapshots(shared, "b")).project(events)
        for event in events:
            waiters.tell(PLACE, event if here else None)
        assert (await waiting).final
    return store.reads


async def test_whatever_happened_between_two_looks_is_told_in_its_order() -> None:
    heard = Heard()
    await waited(Listener(heard.progress, heard.logged), *FACTS, here=True)
    assert heard.notes == [1, ENTRY, 2, ENTRY]


async def test_nothing_is_lost_where_another_replica_wrote_it_down() -> None:
    heard = Heard()
    await waited(Listener(heard.progress, heard.logged), *FACTS, here=False)
    assert heard.notes == [1, ENTRY, 2, ENTRY]


async def test_each_is_told_only_what_it_asked_for() -> None:
    progress, logs = Heard(), Heard()
    await waited(Listener(progress=progress.progress), *FACTS, here=True)
    await waited(Listener(logged=logs.logged), *FACTS, here=True)
    assert progress.notes == [1, 2]
    assert logs.notes == [ENTRY, ENTRY]


async def test_who_asked_for_nothing_reads_no_log() -> None:
    assert await waited(Listener(), *FACTS, here=True) == 0


async def test_a_second_attempt_is_told_from_where_it_is_farther() -> None:
    heard = Heard()
    again = [build.started(number=2), at(1, 1, 2), at(3, 2, 2), build.succeeded()]
    await waited(Listener(heard.progress), build.started(), at(2, 1), *again, here=True)
    assert heard.notes == [2, 3]


async def test_a_log_that_needs_many_readings_is_told_to_its_end() -> None:
    heard = Heard()
    many = [at(n, n) for n in range(1, 2 * LOG_AT_ONCE)]
    await waited(Listener(heard.progress), build.started(), *many, build.succeeded(), here=True)
    assert heard.notes == [*range(1, 2 * LOG_AT_ONCE)]


async def test_what_was_told_in_an_earlier_round_is_not_told_again() -> None:
    heard, later = Heard(), build.task(round=1)
    before = [build.started(), at(5, 1), build.logged(seq=2), build.input_required(seq=3)]
    after = [build.started(later, 2), at(1, 1, 2, later), build.succeeded(later)]
    await waited(Listener(heard.progress, heard.logged), *before, *after, here=True, of=later)
    assert heard.notes == [1]


END = ending(build.succeeded(), 5)


@pytest.mark.parametrize("seed", range(8))
async def test_each_is_told_in_its_place_in_whichever_order_replicas_write_them_down(
    seed: int,
) -> None:
    heard = Heard()
    facts = [*FACTS[:-1], END]
    random.Random(seed).shuffle(facts)
    await waited(Listener(heard.progress, heard.logged), *facts, here=False)
    assert heard.notes == [1, ENTRY, 2, ENTRY]


class Alone:
    """A task whose facts come one by one, and who waits for it."""

    def __init__(self, heard: Heard) -> None:
        self.store, self.waiters = MemorySnapshots(Shared(), "a"), Waiters(asyncio.Event())
        self.telling = Telling(Listener(heard.progress, heard.logged), self.store, PLACE, 0)
        self._count = 0

    async def happens(self, *facts: TaskEvent) -> None:
        for fact in facts:
            self._count += 1
            event = happened(fact, self._count)
            await self.store.project([event])
            self.waiters.tell(PLACE, event)

    async def whole(self) -> bool:
        snapshot = await self.store.read(PLACE)
        assert snapshot is not None
        return await self.telling(snapshot)


async def test_the_answer_waits_for_a_step_that_another_replica_has_in_hand() -> None:
    heard = Heard()
    alone = Alone(heard)
    with alone.waiters.watch(PLACE) as watch:
        watch.begin(merge.accepted(build.task(), NOON))
        waiting = asyncio.ensure_future(
            until_final(watch, alone.waiters, alone.store, lambda _: 10, alone.telling)
        )
        await alone.happens(build.started(), at(2, 2), ending(build.succeeded(), 2))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert (done, heard.notes) == (set(), [])
        await alone.happens(at(1, 1))
        assert (await waiting).final
    assert heard.notes == [1, 2]


async def test_a_question_does_not_overtake_what_was_told_before_it() -> None:
    heard = Heard()
    alone = Alone(heard)
    await alone.happens(build.started(), build.input_required(seq=2))
    assert not await alone.whole()
    await alone.happens(at(1, 1))
    assert await alone.whole()
    assert heard.notes == [1]


async def test_a_step_that_is_lost_is_not_waited_for_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = Heard()
    alone = Alone(heard)
    await alone.happens(build.started(), at(2, 2))
    assert not await alone.whole()
    monkeypatch.setattr(listener, "STEP_SECONDS", 0.0)
    assert await alone.whole()
    await alone.happens(at(1, 1), at(3, 3), build.logged(seq=5), ending(build.succeeded(), 7))
    assert await alone.whole()
    assert heard.notes == [2, 3, ENTRY]


async def test_a_log_that_is_full_lets_nobody_wait_for_what_it_did_not_take() -> None:
    heard = Heard()
    alone = Alone(heard)
    many = MOST_PROGRESS + 9
    await alone.happens(build.started(), *(at(n, n) for n in range(1, many)))
    await alone.happens(ending(build.succeeded(), many - 1))
    assert await alone.whole()
    assert heard.notes == [*range(1, MOST_PROGRESS)]
