"""What the journal promises, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.bus import Raw
from interlock.contracts.outcomes import Settlement
from interlock.contracts.task import TaskState
from interlock.storage.database import Database
from interlock.testing import build
from interlock.testing.migrations import assert_migrations_match
from services.invocation.model import Control, Job, Lease, State
from services.invocation.store import (
    METADATA,
    Back,
    Claimed,
    End,
    Entry,
    Journal,
    Late,
    Told,
    Wanted,
)
from tests.components.fixtures import EMPTY
from tests.services.invocation.rig import opened, task

NOON = build.NOON
LATER = NOON + timedelta(seconds=1)
KEY = ("acme", task().id)
OUTCOME = build.raw(build.succeeded(), "invocation")
UNKNOWN = build.raw(build.unknown(), "invocation")
SETTLED = build.raw(build.failed(), "invocation")
STOP = Control(build.person(), "no longer needed")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


def entry(task_id: str = "task-1", **changed: object) -> Entry:
    return replace(
        Entry(task(task_id), NOON, arguments=build.ARGUMENTS),
        **changed,  # type: ignore[arg-type]  # fields of Entry
    )


def ended(task_id: str = "task-1", raw: Raw = OUTCOME) -> Entry:
    return entry(task_id, ended_as=TaskState.SUCCEEDED, outcome=raw)


def wanted(owner: str = "a", **changed: object) -> Wanted:
    return replace(
        Wanted(owner, most=10, room={}, per_server=10, now=LATER),
        **changed,  # type: ignore[arg-type]  # fields of Wanted
    )


def end(job: Job, raw: Raw = OUTCOME, late: Late | None = None) -> End:
    state = TaskState.UNKNOWN if raw is UNKNOWN else TaskState.SUCCEEDED
    return End(job, state, raw, (build.attempt(),), LATER, late)


def ids(claimed: Claimed) -> Sequence[str]:
    return [job.task.id for job in claimed.jobs]


async def claimed(journal: Journal, owner: str = "a") -> Job:
    (job,) = (await journal.claim(wanted(owner))).jobs
    return job


@EMPTY
async def test_the_migrations_make_the_tables(database_url: str) -> None:
    await assert_migrations_match(database_url, "services.invocation.migrations", METADATA)


async def test_a_task_is_taken_in_once(journal: Journal) -> None:
    first, second = await journal.insert([entry(), entry()])
    assert first is None
    assert second is not None and second.state is State.READY
    (again,) = await journal.insert([entry(arguments="{}")])
    assert again is not None and again.job.arguments == build.ARGUMENTS
    assert ids(await journal.claim(wanted())) == ["task-1"]


async def test_of_many_at_once_one_takes_a_task_in(journal: Journal) -> None:
    answers = await asyncio.gather(*(journal.insert([entry(), entry(f"t{n}")]) for n in range(8)))
    assert [first for first, _ in answers].count(None) == 1
    assert [second for _, second in answers].count(None) == 8


async def test_a_row_comes_back_as_it_was_kept(journal: Journal) -> None:
    traced = entry(cause="event-1", traceparent="00-1-2-01", tool_digest="abc", owner="a")
    await journal.insert([traced])
    (known,) = await journal.insert([traced])
    assert known is not None and known.state is State.CLAIMED
    job = known.job
    assert job.task == task() and job.arguments == build.ARGUMENTS
    assert (job.cause, job.traceparent, job.tool_digest) == ("event-1", "00-1-2-01", "abc")
    assert (job.lease, job.attempt, job.claimed_at) == (Lease(*KEY, "a", 1), 1, NOON)


async def test_a_row_that_ended_states_its_exact_outcome(journal: Journal) -> None:
    await journal.insert([ended()])
    (known,) = await journal.insert([entry()])
    assert known is not None and known.state is State.ENDED
    assert known.told == (OUTCOME,)


async def test_another_request_under_the_same_id_is_noticed(journal: Journal) -> None:
    await journal.insert([entry()])
    (known,) = await journal.insert([entry()])
    assert known is not None
    assert not known.differs(task())
    assert known.differs(task(arguments='{"query":"other"}'))


async def test_each_row_is_claimed_by_one(journal: Journal) -> None:
    await journal.insert([entry(f"t{n:02}") for n in range(40)])
    got = await asyncio.gather(*(journal.claim(wanted(f"w{n}")) for n in range(8)))
    all_ids = [task_id for one in got for task_id in ids(one)]
    assert sorted(all_ids) == [f"t{n:02}" for n in range(40)]


async def test_what_is_not_due_or_past_its_deadline_is_not_claimed(journal: Journal) -> None:
    await journal.insert([entry("later", at=LATER + timedelta(seconds=1))])
    await journal.insert([entry("late", task=task("late", deadline=LATER))])
    assert ids(await journal.claim(wanted())) == []
    assert [job.task.id for job in await journal.overdue(LATER, 10)] == ["late"]


async def test_a_claim_leaves_what_its_server_has_no_room_for(journal: Journal) -> None:
    await journal.insert([entry(f"crm-{n}") for n in range(3)])
    await journal.insert([entry("mail", task=task("mail", on="mail"))])
    got = await journal.claim(wanted(room={("acme", "crm"): 1}))
    assert sorted(ids(got)) == ["crm-0", "mail"]
    assert got.left == {("acme", "crm")}
    full = await journal.claim(wanted(room={("acme", "crm"): 0}))
    assert (ids(full), full.left) == ([], set())
    assert ids(await journal.claim(wanted(only={("acme", "mail")}))) == []
    assert ids(await journal.claim(wanted(only={("acme", "crm")}))) == ["crm-1", "crm-2"]


async def test_a_claim_says_whether_there_may_be_more(journal: Journal) -> None:
    await journal.insert([entry(f"t{n}") for n in range(3)])
    assert (await journal.claim(wanted(most=2))).more
    assert not (await journal.claim(wanted(most=2))).more


async def test_an_end_is_written_once_and_only_under_its_lease(journal: Journal) -> None:
    await journal.insert([entry()])
    old = await claimed(journal)
    await journal.write([Back(old, 1, (build.attempt(),), NOON)])
    new = await claimed(journal, "b")
    assert (new.lease.fence, new.attempt, new.attempts) == (2, 2, (build.attempt(),))

    (lost,) = await journal.write([end(old)])
    assert not lost.done
    (done, again) = await journal.write([end(new), end(new)])
    assert done.done and not again.done
    (known,) = await journal.insert([entry()])
    assert known is not None and known.told == (OUTCOME,)


async def test_an_older_lease_of_the_same_holder_is_over_too(journal: Journal) -> None:
    await journal.insert([entry()])
    old = await claimed(journal)
    await journal.write([Back(old, 1, (), NOON)])
    new = await claimed(journal)
    assert new.lease.owner == old.lease.owner
    (lost,) = await journal.write([end(old)])
    (kept,) = await journal.write([end(new)])
    assert (lost.done, kept.done) == (False, True)


async def test_a_row_that_is_to_stop_does_not_go_back(journal: Journal) -> None:
    await journal.insert([entry(owner="a")])
    (known,) = await journal.insert([entry(control=STOP)])
    assert known is not None and known.state is State.CLAIMED
    (written,) = await journal.write([Back(known.job, 1, (), NOON)])
    assert not written.done
    assert written.control == STOP


async def test_a_heartbeat_brings_what_is_to_stop_and_moves_a_counter(journal: Journal) -> None:
    await journal.insert([entry(owner="a"), entry("t-2", owner="b")])
    lease = Lease(*KEY, "a", 1)
    assert (await journal.leases())[lease] is None
    assert await journal.beat("a") == {}
    await journal.insert([entry(control=STOP), entry("t-2", control=STOP)])
    assert await journal.beat("a") == {lease: STOP}
    assert (await journal.leases())[lease] == 2
    assert await journal.leased(replace(lease, fence=2)) is None


async def test_the_first_control_stays(journal: Journal) -> None:
    await journal.insert([entry(owner="a")])
    await journal.insert([entry(control=STOP)])
    await journal.insert([entry(control=replace(STOP, reason="another"))])
    assert list((await journal.beat("a")).values()) == [STOP]


async def test_a_late_answer_settles_what_was_given_up_as_unknown_once(journal: Journal) -> None:
    await journal.insert([entry(owner="a")])
    found = await journal.leased(Lease(*KEY, "a", 1))
    assert found is not None
    job, late = found[0], Late(Settlement.SUCCEEDED, SETTLED)
    await journal.write([end(job, UNKNOWN)])
    first, second = await journal.write([end(job, late=late), end(job, late=late)])
    assert first.settled and not second.settled
    assert not await journal.settle(KEY, late)
    (known,) = await journal.insert([entry()])
    assert known is not None and known.told == (UNKNOWN, SETTLED)


async def test_only_an_unknown_task_can_be_settled(journal: Journal) -> None:
    await journal.insert([ended(), entry("waits")])
    late = Late(Settlement.FAILED, SETTLED)
    assert not await journal.settle(KEY, late)
    assert not await journal.settle(("acme", task("waits").id), late)


async def test_what_was_not_told_is_found_until_it_is(journal: Journal) -> None:
    await journal.insert([entry(owner="a")])
    found = await journal.leased(Lease(*KEY, "a", 1))
    assert found is not None
    await journal.write([end(found[0], UNKNOWN)])
    assert await journal.unpublished(NOON, 10) == []
    told = Told(KEY, settled=False)
    assert await journal.unpublished(LATER, 10) == [(told, (UNKNOWN,))]
    await journal.settle(KEY, Late(Settlement.FAILED, SETTLED))
    await journal.mark([told], LATER)  # the settlement came in between
    again = Told(KEY, settled=True)
    assert await journal.unpublished(LATER, 10) == [(again, (UNKNOWN, SETTLED))]
    await journal.mark([again], LATER)
    assert await journal.unpublished(LATER, 10) == []


async def test_the_backlog_counts_what_waits_and_what_runs(journal: Journal) -> None:
    await journal.insert([entry("a", at=LATER), entry("b"), entry("c", owner="me"), ended("d")])
    waiting = await journal.waiting()
    assert (waiting.ready, waiting.claimed, waiting.oldest) == (2, 1, NOON)


async def test_what_ended_long_ago_is_forgotten_and_unknowns_are_not(journal: Journal) -> None:
    await journal.insert([ended(), entry("u", owner="a"), entry("ready")])
    found = await journal.leased(Lease("acme", task("u").id, "a", 1))
    assert found is not None
    await journal.write([end(found[0], UNKNOWN)])
    await journal.mark([Told(("acme", task("u").id), False)], LATER)
    await journal.forget(NOON + timedelta(days=30))
    left = await journal.page("acme", None, 10)
    assert sorted(page.task.id for page in left) == ["ready", "u"]


async def test_a_page_holds_one_tenants_tasks_newest_first(journal: Journal) -> None:
    await journal.insert([entry("old"), entry("new", at=LATER), ended("over", OUTCOME)])
    placeholder = entry("never", arguments=None, ended_as=TaskState.CANCELLED, outcome=OUTCOME)
    await journal.insert([placeholder])
    assert [page.task.id for page in await journal.page("acme", None, 2)] == ["new", "old"]
    ready = await journal.page("acme", State.READY, 10)
    assert [page.task.id for page in ready] == ["new", "old"]
    assert [page.task.id for page in await journal.page("acme", State.ENDED, 10)] == ["over"]
    assert await journal.page("other", None, 10) == []
