"""Kill -9 of a real process in the middle of real calls, counted at the upstream."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interlock.contracts.outcomes import TaskSucceeded, TaskUnknown
from interlock.samples.crm import Failure, Trouble, crm_app
from interlock.samples.crm.trouble import How
from tests.interlock.samples.serving import serving
from tests.services.invocation.child import asked, working
from tests.services.invocation.rig import rigs

MANY = 60
PATIENCE = 60.0


@asynccontextmanager
async def child(database: str, crm: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of invocation; it is killed at the end at the latest."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.services.invocation.child", database, crm, str(MANY))
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def executed(trouble: Trouble, calls: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(trouble.log().calls) < calls:  # noqa: ASYNC110 - counted at the upstream
            await asyncio.sleep(0.005)


@pytest.mark.chaos
@pytest.mark.slow
async def test_kill_9_loses_no_repeatable_call_and_makes_no_other_twice(database_url: str) -> None:
    trouble = Trouble()
    for tool, seconds in (("search_opportunities", 0.05), ("grant_discount", 0.2)):
        trouble.arm(Failure(tool=tool, how=How.DELAY, seconds=seconds, times=MANY))
    async with serving(crm_app(trouble=trouble)) as crm, rigs(database_url) as opening:
        async with child(database_url, crm) as process:
            await executed(trouble, MANY // 4)
            process.kill()
        before = trouble.log().by_task
        rig = working(opening, crm)
        requests = asked(MANY)
        await rig.send(*requests)  # the bus delivers again what was not acknowledged
        ends = {one.task.id: await rig.end(one.task.id) for one in requests}
        await rig.bus.drain()
        counted = trouble.log().by_task

    grants = {task_id: end for task_id, end in ends.items() if task_id.startswith("grant")}
    searches = {task_id: end for task_id, end in ends.items() if task_id.startswith("search")}
    assert 0 < len(before) < MANY
    assert all(isinstance(end, TaskSucceeded) for end in searches.values())
    unknown = [end for end in grants.values() if isinstance(end, TaskUnknown)]
    succeeded = [end for end in grants.values() if isinstance(end, TaskSucceeded)]
    assert unknown and succeeded and len(unknown) + len(succeeded) == len(grants)
    assert all(counted.get(task_id, 0) <= 1 for task_id in grants)
    assert all(counted.get(end.task.id) == 1 for end in succeeded)
    again = [end for end in searches.values() if isinstance(end, TaskSucceeded)]
    assert any([one.outcome for one in end.attempts] == ["lost", "answered"] for end in again)
