"""What a claim costs, and when what was claimed may be called."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from interlock.contracts.task import TaskState
from interlock.storage.database import Database
from interlock.storage.faults import driver_of
from interlock.testing import build
from services.invocation.model import Limits
from services.invocation.store import Entry, Journal, Wanted, claiming, looking, writing
from tests.services.invocation.rig import Opener, Rig, authorized, opened, rigs, task
from tests.services.invocation.upstream import Slow

NOON = build.NOON
LATER = NOON + timedelta(seconds=1)
CRM = ("acme", "crm")
OUTCOME = build.raw(build.succeeded(), "invocation")


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    async with opened(sqlite_url) as database:
        yield database


@pytest.fixture
async def opening(sqlite_url: str) -> AsyncIterator[Opener]:
    async with rigs(sqlite_url) as opener:
        yield opener


def claim(connection: Connection) -> object:
    wanted = Wanted("a", most=2, room={}, per_server=2, now=LATER, only={CRM})
    jobs = claiming.claim(connection, wanted).jobs
    assert len(jobs) == 2
    return jobs


def find(connection: Connection) -> object:
    found = writing.find(connection, {("acme", task(f"ours-{n}").id) for n in range(3)})
    assert len(found) == 3
    return found


def overdue(connection: Connection) -> object:
    return looking.overdue(connection, LATER, 10)


async def steps(database: Database, work: Callable[[Connection], object]) -> int:
    """How many instructions SQLite's machine needs for it: the same on every computer."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1

    def counted(connection: Connection) -> None:
        driver = driver_of(connection)
        driver.set_progress_handler(step, 1)
        try:
            work(connection)
        finally:
            driver.set_progress_handler(None, 1)

    await database.run(counted)
    return taken


@pytest.mark.parametrize("work", [claim, find, overdue])
async def test_what_others_wait_for_and_what_has_ended_costs_nothing(
    database: Database, work: Callable[[Connection], object]
) -> None:
    journal = Journal(database)
    await journal.insert([Entry(task(f"ours-{n}"), NOON, arguments="{}") for n in range(9)])
    before = await steps(database, work)
    older = NOON - timedelta(minutes=1)
    await journal.insert(
        [Entry(task(f"theirs-{n}", on="mail"), older, arguments="{}") for n in range(300)]
    )
    ended = [
        Entry(task(f"past-{n}"), older, ended_as=TaskState.SUCCEEDED, outcome=OUTCOME)
        for n in range(300)
    ]
    await journal.insert(ended)
    assert await steps(database, work) <= before * 1.2


async def left(opening: Opener, slow: Slow, *tasks: str, limits: Limits) -> Rig:
    """A process that took tasks in while it could claim nothing."""
    rig = opening(slow.upstream, start=False, limits=limits)
    for used in tasks:
        await rig.intake.accept(build.sent(authorized(task(used, used=used)), "policy"))
    await rig.reader.load()
    return rig


async def test_only_a_call_that_may_not_be_repeated_waits_until_its_claim_is_on_the_disk(
    opening: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    rig = await left(opening, slow, "search_opportunities", "grant_discount", limits=Limits())
    disk, real = threading.Event(), os.fdatasync

    def fdatasync(handle: int) -> None:
        assert disk.wait(60.0)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    worker = asyncio.create_task(rig.worker.run())
    await slow.called()
    assert len(await rig.journal.leases()) == 2
    assert [call.tool for call in slow.upstream.calls] == ["search_opportunities"]
    disk.set()
    await slow.called(2)
    slow.answer.set()
    await rig.end("grant_discount")
    worker.cancel()


async def test_in_a_backlog_calls_that_end_together_let_as_many_begin_with_one_claim(
    opening: Opener,
) -> None:
    slow = Slow()
    rig = opening(slow.upstream, start=False, limits=Limits(per_server=16))
    for n in range(64):
        await rig.intake.accept(build.sent(authorized(task(f"t-{n}")), "policy"))
    await rig.reader.load()
    claims: list[int] = []
    real = rig.journal.claim

    async def counted(wanted: Wanted, *more: object) -> object:
        claimed = await real(wanted, *more)  # type: ignore[arg-type]  # as it came
        claims.append(len(claimed.jobs))
        return claimed

    rig.journal.claim = counted  # type: ignore[method-assign, assignment]  # the real one, counted
    worker = asyncio.create_task(rig.worker.run())
    await slow.called(16)
    slow.answer.set()
    for n in range(64):
        await rig.end(f"t-{n}")
    assert sum(claims) == 64 and slow.most <= 16
    assert len(claims) <= 16
    worker.cancel()
