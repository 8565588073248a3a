"""A policy that changes between two deliveries of one message."""

import asyncio
from pathlib import Path

import pytest

from interlock.contracts.outcomes import TaskDenied
from interlock.contracts.requests import CallAuthorized, TaskAuthenticated
from interlock.contracts.task import TaskState
from interlock.sdk import Interlock
from tests.chaos.messages import settle
from tests.chaos.scale import MARKS
from tests.chaos.tap import Tap, tapped
from tests.chaos.truth import settled_ledger
from tests.components.crm import NOT_REPEATABLE, SCOPE, SERVER, arguments
from tests.components.world import World, permit, world

pytestmark = MARKS


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
