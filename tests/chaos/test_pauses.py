"""A worker that stands still while another takes its leases, and then goes on as if nothing was."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlock.contracts.outcomes import TaskSettled
from interlock.contracts.task import TaskState
from interlock.runtime.supervisor import free_port
from tests.chaos.load import load_on
from tests.chaos.scale import MARKS, scaled
from tests.chaos.test_kills import under_way
from tests.chaos.truth import faults_of, read_ledger
from tests.components.crm import NOT_REPEATABLE, REPEATABLE
from tests.components.suite import Suite, answers, until
from tests.components.world import world

pytestmark = MARKS
TASKS = scaled(60, 300)


async def test_a_worker_that_lost_its_leases_calls_nothing_again_and_settles_what_it_knows(
    tmp_path: Path,
) -> None:
    with world(tmp_path, "--separate") as here, another(here.suite, "invocation"):
        for tool in (REPEATABLE, NOT_REPEATABLE):
            here.crm.fail(tool, "delay", seconds=0.3, times=10 * TASKS)
        async with load_on(here) as load:
            work = asyncio.create_task(load.run(TASKS))
            await under_way(here, TASKS // 4)
            pid = here.suite.pid("invocation")
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            try:
                await work
                given_up = await load.ended()
            finally:
                os.kill(pid, signal.SIGCONT)
            unknown = [one.id for one in given_up.values() if one.state is TaskState.UNKNOWN]
            assert unknown, "nothing was under way when the worker was stopped"
            settled = await asyncio.to_thread(settlements, here.suite, tmp_path / "settled")
            assert settled <= len(unknown)
            ended = await load.ended()
        assert not await faults_of(here, load.asked, ended, tmp_path / "export")


def settlements(suite: Suite, path: Path) -> int:
    """How many tasks were settled, once any is and no more come."""
    found = [0, 0]

    def looked() -> bool:
        found[:] = [found[1], read_ledger(suite, path).types[TaskSettled.type]]
        return 0 < found[0] == found[1]

    until(looked, "what was unknown is settled", within=20)
    return found[1]


@contextmanager
def another(suite: Suite, service: str) -> Iterator[None]:
    """One more process of a service, on the same bus and database."""
    port = free_port()
    environment = os.environ | {
        "INTERLOCK_BUS_URL": suite.bus_url,
        "INTERLOCK_DATA": str(suite.data),
        "INTERLOCK_PORT": str(port),
        "INTERLOCK_PUBLIC_URL": suite.url,
        "INTERLOCK_LOG_LEVEL": "warning",
    }
    with suite.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{service}"], env=environment, stdout=log, stderr=log
        )
    try:
        ready = f"http://127.0.0.1:{port}/health/ready"
        until(lambda: answers(ready) == 200, f"another `{service}` is ready", process, suite.log)
        yield
    finally:
        process.terminate()
        process.wait(timeout=40)
