"""Whatever can happen to processes, one thing after another, drawn by lot."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from interlock.contracts.topics import SERVICES
from tests.chaos.load import load_on
from tests.chaos.scale import MARKS, scaled
from tests.chaos.test_broker import kill_broker
from tests.chaos.test_kills import kill_service, slow_down, under_way, waves
from tests.chaos.truth import faults_of, states
from tests.components.crm import NOT_REPEATABLE
from tests.components.suite import Suite, until
from tests.components.world import world

pytestmark = MARKS
ROUNDS = scaled(3, 20)
SEED = int(os.environ.get("INTERLOCK_CHAOS_SEED", "1"))
STANDSTILL = 4.0
"""Seconds: longer than a lease (3 s) and than a consumer counts as alive (3 s)."""


async def test_each_task_ends_once_in_a_storm(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(SEED)
    with world(tmp_path, "--separate") as here:
        slow_down(here, 20_000)
        async with load_on(here) as load:
            over = asyncio.Event()
            work = asyncio.create_task(waves(load, over))
            for _ in range(ROUNDS):
                await under_way(here, here.crm.begun(NOT_REPEATABLE) + chance.randrange(1, 10))
                fault = chance.choice(FAULTS)
                await asyncio.to_thread(fault, here.suite)
            over.set()
            await work
            ended = await load.ended()
        assert not await faults_of(here, load.asked, ended, tmp_path / "export")
        record_property("ended", states(ended))


def kill(service: str, suite: Suite) -> None:
    kill_service(suite, service)


def kill_all(suite: Suite) -> None:
    suite.kill()
    suite.start()


def kill_two(first: str, second: str, suite: Suite) -> None:
    """At the same moment."""
    pids = {name: suite.pid(name) for name in (first, second)}
    for pid in pids.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    for name, pid in pids.items():
        until(partial(replaced, suite, name, pid), f"`{name}` is started again")
    until(suite.ready, "the suite is ready again")


def replaced(suite: Suite, name: str, pid: int | None) -> bool:
    return suite.pid(name) not in {None, pid}


def pause(service: str, suite: Suite) -> None:
    """A machine that stands still: everybody else believes it dead."""
    pid = suite.pid(service)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STANDSTILL)
    finally:
        os.kill(pid, signal.SIGCONT)
    until(suite.ready, "the suite is ready again")


FAULTS: list[Callable[[Suite], None]] = [
    *(partial(kill, name) for name in SERVICES),
    *(partial(pause, name) for name in SERVICES),
    kill_broker,
    partial(kill_two, "valkey", "invocation"),
    partial(kill_two, "policy", "invocation"),
    kill_all,
]
