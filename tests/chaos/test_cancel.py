"""Cancelled before, during and after, and at any moment in between."""

import asyncio
import random
from pathlib import Path

from interlock.contracts.task import TaskState
from interlock.sdk import Interlock, Outcome, TaskHandle
from tests.chaos.scale import MARKS, scaled
from tests.chaos.truth import settled_ledger
from tests.components.crm import NOT_REPEATABLE, REPEATABLE, SCOPE, SERVER, arguments
from tests.components.suite import until
from tests.components.world import World, permit, world

pytestmark = MARKS
TASKS = scaled(60, 300)
S = TaskState


async def test_a_cancel_before_during_and_after_has_one_end_each(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        async with Interlock(here.suite.url, here.key) as client:
            before = await cancelled_before(here, client)
            again = await cancelled_during(here, client, REPEATABLE)
            once = await cancelled_during(here, client, NOT_REPEATABLE)
            after = await cancelled_after(client)
        found = [one.state for one in (before, again, once, after)]
        assert found == [S.CANCELLED, S.CANCELLED, S.UNKNOWN, S.SUCCEEDED]
        assert here.crm.calls() == {after.id: 1}
        await one_end_each(here, [before, again, once, after], tmp_path)


async def test_a_cancel_at_any_moment_has_one_end_and_at_most_one_call(tmp_path: Path) -> None:
    chance = random.Random(11)
    with world(tmp_path) as here:
        here.crm.fail(NOT_REPEATABLE, "delay", seconds=0.02, times=TASKS)
        async with Interlock(here.suite.url, here.key) as client:

            async def one(n: int, wait: float) -> Outcome:
                handle = await client.submit(SERVER, NOT_REPEATABLE, arguments(NOT_REPEATABLE, n))
                await asyncio.sleep(wait)
                await handle.cancel()
                return await handle.outcome(30)

            moments = [chance.uniform(0, 0.15) for _ in range(TASKS)]
            ended = await asyncio.gather(*(one(n, wait) for n, wait in enumerate(moments)))
        calls = here.crm.calls()
        for found in ended:
            most = 0 if found.state is S.CANCELLED else 1
            assert found.state in {S.CANCELLED, S.UNKNOWN, S.SUCCEEDED}, found
            assert calls[found.id] <= most, found
            assert found.state is not S.SUCCEEDED or calls[found.id] == 1, found
        await one_end_each(here, ended, tmp_path)


async def cancelled_before(here: World, client: Interlock) -> Outcome:
    """Cancelled while a person's approval is awaited."""
    await asyncio.to_thread(permit, here.suite, with_approval=(SCOPE,))
    handle = await client.submit(SERVER, NOT_REPEATABLE, arguments(NOT_REPEATABLE, 1))
    await until_told(handle, "task.held")
    await handle.cancel()
    found = await handle.outcome(20)
    await asyncio.to_thread(permit, here.suite, SCOPE)
    return found


async def cancelled_during(here: World, client: Interlock, tool: str) -> Outcome:
    """Cancelled while the upstream works on it."""
    begun = here.crm.begun(tool)
    here.crm.fail(tool, "delay", seconds=60)
    handle = await client.submit(SERVER, tool, arguments(tool, 2))
    await asyncio.to_thread(until, lambda: here.crm.begun(tool) > begun, "the call has begun")
    await handle.cancel()
    return await handle.outcome(20)


async def cancelled_after(client: Interlock) -> Outcome:
    """Cancelled when it had ended."""
    handle = await client.submit(SERVER, NOT_REPEATABLE, arguments(NOT_REPEATABLE, 3))
    assert (await handle.outcome(20)).state is S.SUCCEEDED
    await handle.cancel()
    return await handle.show()


async def until_told(handle: TaskHandle, milestone: str) -> None:
    """Follow the task up to a milestone."""
    async with asyncio.timeout(20):
        async for event in handle.events():
            if event.type == milestone:
                return


async def one_end_each(here: World, ended: list[Outcome], folder: Path) -> None:
    """The ledger has exactly the end that the gateway tells."""
    tasks = {one.id: NOT_REPEATABLE for one in ended}
    ledger = await settled_ledger(here.suite, tasks, folder / "export")
    assert ledger.report.ok, ledger.report.text()
    told = {one.id: [f"interlock.task.{one.state}.v1"] for one in ended}
    assert {task: ledger.ends[task] for task in tasks} == told
