"""Told to stop in the middle of work, and started again."""

import asyncio
from pathlib import Path

import pytest

from interlock.contracts.task import TaskState
from tests.chaos.load import load_on
from tests.chaos.scale import MARKS, scaled
from tests.chaos.test_kills import slow_down, under_way
from tests.chaos.truth import faults_of
from tests.components.world import world

pytestmark = MARKS
TASKS = scaled(120, 500)


@pytest.mark.parametrize("how", [(), ("--separate",)], ids=["together", "separate"])
async def test_a_stop_in_the_middle_loses_nothing_and_leaves_nothing_unknown(
    tmp_path: Path, how: tuple[str, ...]
) -> None:
    with world(tmp_path, *how) as here:
        slow_down(here, TASKS)
        async with load_on(here) as load:
            work = asyncio.create_task(load.run(TASKS))
            await under_way(here, TASKS // 4)
            await asyncio.to_thread(here.suite.stop)
            await asyncio.to_thread(here.suite.start)
            await work
            ended = await load.ended()
        assert not [one for one in ended.values() if one.state is TaskState.UNKNOWN]
        assert not await faults_of(here, load.asked, ended, tmp_path / "export")
