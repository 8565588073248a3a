"""kill -9 of everything, and of each service in turn, in the middle of work."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.contracts.topics import SERVICES
from tests.chaos.load import Load, load_on
from tests.chaos.scale import FULL, MARKS, scaled
from tests.chaos.truth import faults_of, states
from tests.components.crm import NOT_REPEATABLE, REPEATABLE
from tests.components.suite import Suite, until
from tests.components.world import World, world

pytestmark = MARKS
TASKS = scaled(200, 500)
WAVE = scaled(20, 40)


@pytest.mark.promise("survives")
async def test_each_task_ends_once_though_everything_is_killed_in_the_middle(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with world(tmp_path) as here:
        slow_down(here, TASKS)
        async with load_on(here) as load:
            work = asyncio.create_task(load.run(TASKS))
            for share in (8, 4, 3) if FULL else (4,):
                await under_way(here, TASKS // share)
                await asyncio.to_thread(here.suite.kill)
                await asyncio.to_thread(here.suite.start)
            await work
            ended = await load.ended()
        assert len(load.asked) == TASKS
        assert not await faults_of(here, load.asked, ended, tmp_path / "export")
        record_property("ended", states(ended))


@pytest.mark.promise("separate")
async def test_each_task_ends_once_though_each_service_is_killed_in_turn(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with world(tmp_path, "--separate") as here:
        slow_down(here, 5000)
        async with load_on(here) as load:
            over = asyncio.Event()
            work = asyncio.create_task(waves(load, over))
            for service in SERVICES:
                before = len(load.asked)
                await under_way(here, here.crm.begun(NOT_REPEATABLE) + WAVE // 4)
                await asyncio.to_thread(kill_service, here.suite, service)
                await load.accepted(before + WAVE // 2)
            over.set()
            await work
            ended = await load.ended()
        assert not await faults_of(here, load.asked, ended, tmp_path / "export")
        record_property("ended", states(ended))


async def waves(load: Load, over: asyncio.Event) -> None:
    """Work that goes on until it is over, never more than can be done."""
    wave = 0
    while not over.is_set():
        await load.run(WAVE, f"wave-{wave}", follow=True)
        wave += 1


def kill_service(suite: Suite, service: str) -> None:
    """SIGKILL to one service's process; return once another one is ready in its place."""
    pid = suite.pid(service)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: suite.pid(service) not in {None, pid}, f"`{service}` is started again")
    until(suite.ready, f"`{service}` is ready again")


async def under_way(here: World, calls: int) -> None:
    """Until so many calls that may not be repeated have begun: the last of them are under way."""
    await asyncio.to_thread(
        until, lambda: here.crm.begun(NOT_REPEATABLE) >= calls, "calls have begun"
    )


def slow_down(here: World, tasks: int) -> None:
    """Calls take a moment, so that some are under way whenever something is killed."""
    for tool in (REPEATABLE, NOT_REPEATABLE):
        here.crm.fail(tool, "delay", seconds=0.1, times=tasks)
