"""The fault matrix: every row on every stand that can express it, counted.

`make test` plays each row small, `make chaos` in full; it prints what it found, and writes it into
docs/fault-matrix.md.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from interlock.contracts.task import TaskState
from tests.chaos.load import Load, load_on
from tests.chaos.messages import settle
from tests.chaos.report import Result, keep, write
from tests.chaos.rows import ROWS, Row
from tests.chaos.scale import FULL, MARKS
from tests.chaos.scene import Scene
from tests.chaos.stands import STANDS, Stand, Stands
from tests.chaos.truth import faults_of, states
from tests.components.crm import NOT_REPEATABLE, REPEATABLE
from tests.components.required import Missing, without

pytestmark = MARKS
DELAY = 0.2 if not FULL else 0.1
"""Seconds that a call takes, so that some are under way whenever something is killed."""
CASES = [
    pytest.param(name, row, id=f"{name}-{row.id}", marks=row.marks)
    for name in STANDS
    for row in ROWS
    if name in (row.on if not FULL else (*row.on, *row.also))
]


@pytest.fixture(scope="module")
def stands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stands]:
    """Each is started once for all of its rows."""
    made = Stands(tmp_path_factory.mktemp)
    yield made
    made.clear()
    if FULL:
        write()


@pytest.mark.parametrize(("name", "row"), CASES)
async def test_each_task_ends_once_and_as_without_the_fault(
    stands: Stands, name: str, row: Row
) -> None:
    try:
        stand = await asyncio.to_thread(stands.at, name)
    except Missing as missing:
        without(name, missing)
    result = Result(name, row.id)
    try:
        await play(stand, row, result)
    except pytest.skip.Exception:
        raise
    except BaseException as error:
        result.faults.append(f"{type(error).__name__}: {error}"[:300])
        await asyncio.to_thread(stands.clear)
        raise
    finally:
        if FULL and result != Result(name, row.id):
            keep(result)
    assert not result.faults


async def play(stand: Stand, row: Row, result: Result) -> None:
    """One row on one stand, and all that is wrong afterwards."""
    began = time.monotonic()
    for tool in (REPEATABLE, NOT_REPEATABLE):
        stand.world.crm.fail(tool, "delay", seconds=DELAY, times=50_000)
    async with load_on(stand.world, row.id) as load, played(stand, row, load) as scene:
        await row.fault(scene)
        ended = await scene.finish()
        await asyncio.to_thread(settle, stand.suite)
        export = stand.folder / f"{row.id}.export"
        result.faults += await faults_of(stand.world, load.asked, ended, export)
        result.recoveries = await scene.recovered()
    unknown = [task for task, one in ended.items() if one.state is TaskState.UNKNOWN]
    if unknown and not row.unknown:
        result.faults.append(f"{len(unknown)} are unknown, and nothing cut a call: {unknown[:3]}")
    result.tasks, result.ended, result.touched = len(load.asked), states(ended), scene.touched
    result.seconds = time.monotonic() - began


@asynccontextmanager
async def played(stand: Stand, row: Row, load: Load) -> AsyncIterator[Scene]:
    """Tasks flow."""
    over = asyncio.Event()
    flow = asyncio.create_task(load.flow(over, row.tasks))
    try:
        async with load.patience():
            await load.accepted(row.tasks // 10)
            yield Scene(stand, load, row.tasks, flow, over)
    finally:
        flow.cancel()
        await asyncio.gather(flow, return_exceptions=True)
