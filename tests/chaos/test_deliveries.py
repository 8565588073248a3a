"""Deliveries twice, late and in any order; a policy that changes between two of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interlock.contracts.outcomes import TaskDenied
from interlock.contracts.requests import CallAuthorized, TaskAuthenticated
from interlock.contracts.task import TaskState
from interlock.contracts.topics import SERVICES
from interlock.sdk import Interlock
from tests.chaos.load import Load, load_on
from tests.chaos.scale import MARKS, scaled
from tests.chaos.tap import Tap, tapped
from tests.chaos.truth import faults_of, settled_ledger
from tests.components.crm import NOT_REPEATABLE, SCOPE, SERVER, arguments
from tests.components.suite import Suite, until
from tests.components.world import World, permit, world

pytestmark = MARKS
TASKS = scaled(100, 500)


@pytest.mark.promise("any-order")
async def test_deliveries_twice_and_in_any_order_change_nothing(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        async with tapped(here.suite.bus_url, repeats=True) as tap, load_on(here) as load:
            await load.run(TASKS)
            ended = await load.ended()
            assert not await faults_of(here, load.asked, ended, tmp_path / "first")
            before = await documents(load)
            records = await recorded(here, load, tmp_path / "before")
            calls = here.crm.calls()
            tap.repeats = False
            for _ in range(2):
                await tap.repeat(tap.seen)
            await asyncio.to_thread(settle, here.suite)
            assert await documents(load) == before
            assert here.crm.calls() == calls
            assert not await faults_of(here, load.asked, ended, tmp_path / "second")
            assert await recorded(here, load, tmp_path / "after") == records
            assert dead(here.suite) == 0


@pytest.mark.promise("once-decided")
async def test_a_policy_changed_between_two_deliveries_of_a_task_decides_it_once(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as here:
        suite = here.suite
        async with tapped(suite.bus_url) as tap, Interlock(suite.url, here.key) as client:
            allowed = await end_of(client, 1, TaskState.SUCCEEDED)
            await asyncio.to_thread(permit, suite)
            await redeliver(here, tap, allowed)
            assert (await client.task(allowed).show()).state is TaskState.SUCCEEDED
            denied = await end_of(client, 2, TaskState.DENIED)
            await asyncio.to_thread(permit, suite, SCOPE)
            await redeliver(here, tap, denied)
            assert (await client.task(denied).show()).state is TaskState.DENIED
        tasks = dict.fromkeys((allowed, denied), NOT_REPEATABLE)
        ledger = await settled_ledger(suite, tasks, tmp_path / "export")
        assert ledger.report.ok, ledger.report.text()
        assert {task: len(ledger.ends[task]) for task in tasks} == {allowed: 1, denied: 1}
        assert (ledger.types[CallAuthorized.type], ledger.types[TaskDenied.type]) == (2, 1)
        assert here.crm.calls() == {allowed: 1}


async def end_of(client: Interlock, n: int, state: TaskState) -> str:
    """Ask for a call that may not be repeated; its id, once it ended as it should."""
    handle = await client.submit(SERVER, NOT_REPEATABLE, arguments(NOT_REPEATABLE, n))
    found = await handle.outcome(20)
    assert found.state is state, found
    return handle.id


async def redeliver(here: World, tap: Tap, task: str) -> None:
    """Deliver to policy again what it has decided about."""
    await tap.repeat([await tap.first(TaskAuthenticated.type, task)] * 3)
    await asyncio.to_thread(settle, here.suite)


async def documents(load: Load) -> dict[str, Any]:
    """What the gateway tells of each task."""
    return {task: (await load.client.task(task).show()).document for task in sorted(load.asked)}


async def recorded(here: World, load: Load, path: Path) -> Any:
    """How many records of which type the ledger holds."""
    return (await settled_ledger(here.suite, load.asked, path)).types


def settle(suite: Suite) -> None:
    """Return once no group has anything left to do."""
    until(lambda: not any(waiting(suite, name) for name in SERVICES), "all groups are idle")


def waiting(suite: Suite, service: str) -> int:
    told = suite.ask("GET", f"/{service}/v1/status")
    return int(told["waiting"] + told["in_flight"])


def dead(suite: Suite) -> int:
    """Dead letters of all groups."""
    return sum(suite.ask("GET", f"/{name}/v1/status")["dead"] for name in SERVICES)
