"""Faults of processes: killed, stopped, standing still, slow, with a wrong clock."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from interlock.contracts.outcomes import TaskSettled
from interlock.contracts.task import TaskState
from interlock.contracts.topics import SERVICES
from tests.chaos.scale import FULL, scaled
from tests.chaos.scene import Scene
from tests.chaos.slowness import locked
from tests.chaos.stands import rival, standstill
from tests.chaos.truth import read_ledger
from tests.components.required import Missing, without
from tests.components.suite import Suite, until

JUMP = 600
"""Seconds that a clock jumps: more than any skew that is allowed, less than a task's hour."""
STANDSTILL = 4.0
"""Seconds: longer than a lease (3 s) and than a consumer counts as alive (3 s)."""
SEED = int(os.environ.get("INTERLOCK_CHAOS_SEED", "1"))


async def everything_killed(scene: Scene) -> None:
    """SIGKILL to every process, the embedded broker's too; then all are started again."""
    for _ in range(scaled(1, 3)):
        await scene.under_way()
        await asyncio.to_thread(scene.suite.kill)
        scene.recovers()
        await asyncio.to_thread(scene.suite.start)
        await scene.recovered()


async def consumers_killed(scene: Scene) -> None:
    """SIGKILL to one service after another in the middle of its work; `up` starts it again."""
    for service in SERVICES if FULL else ("policy", "invocation"):
        await scene.under_way()
        pid = killed(scene.suite, service)
        scene.recovers()
        await scene.until(partial(back, scene.suite, service, pid), f"`{service}` is back")
        await scene.recovered()


async def stopped(scene: Scene) -> None:
    """SIGTERM in the middle of work, and a start."""
    for _ in range(scaled(1, 3)):
        await scene.under_way()
        await asyncio.to_thread(scene.suite.stop)
        scene.recovers()
        await asyncio.to_thread(scene.suite.start)
        await scene.recovered()


async def stood_still(scene: Scene) -> None:
    """A worker that stands still while another takes its leases, and then goes on."""
    with rival(scene.stand, "invocation"):
        await scene.under_way()
        pid = scene.suite.pid("invocation")
        assert pid is not None
        await asyncio.to_thread(standstill, pid, STANDSTILL)
        scene.recovers()
        await scene.recovered()
        ended = await scene.finish()
        unknown = sum(one.state is TaskState.UNKNOWN for one in ended.values())
        if unknown:
            export = scene.stand.folder / "settled.export"
            await scene.until(lambda: settlements(scene, export) > 0, "what it knew is settled")


def settlements(scene: Scene, path: Path) -> int:
    """How many unknown outcomes were settled."""
    return read_ledger(scene.suite, path).types[TaskSettled.type]


async def slow(scene: Scene) -> None:
    """Policy's database is locked by somebody else, for longer than a silent member is waited for:
    its handlers take that long."""
    await scene.under_way()
    async with locked(scene.stand, "policy"):
        await asyncio.sleep(scene.stand.transport.patience + 2.0)
    scene.recovers()
    await scene.recovered()


async def acknowledgement_lost(scene: Scene) -> None:
    """A consumer is killed when its effects are out and its acknowledgement is not, or unheard.

    It is policy: invocation's effects go out from its journal, not with an acknowledgement.
    """
    transport = scene.stand.transport
    for _ in range(scaled(1, 3)):
        with transport.way(scene.suite) as proxy:
            behind = transport.behind(scene.suite, proxy)
            with rival(scene.stand, "policy", behind) as one:
                trap = proxy.set(transport.trap())
                await asyncio.to_thread(trap.sprung.wait, 60)
                assert trap.sprung.is_set(), "the other consumer acknowledged nothing"
                await asyncio.to_thread(one.kill)
                scene.recovers()
        await scene.recovered()


async def clock_jumped(scene: Scene) -> None:
    """Policy and invocation get a second process each, whose clock leaps ahead, and then back."""
    clock = scene.stand.folder.parent / "clock"  # one for all stands: one process forks them all
    clock.write_text("+0")
    env = {
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with rival(scene.stand, "policy", env), rival(scene.stand, "invocation", env):
        for jump in (JUMP, -JUMP):
            await scene.under_way()
            clock.write_text(f"{jump:+d}")
            scene.recovers()
            await asyncio.sleep(scaled(2, 10))
            await scene.recovered()
    ledger = await asyncio.to_thread(read_ledger, scene.suite, scene.stand.folder / "clock.export")
    now = datetime.now(UTC)  # noqa: TID251 the clock that did not jump
    assert ledger.latest > now + timedelta(seconds=JUMP / 2), "nobody's clock was ahead"


def faketime() -> Path:
    """Debian's library that shifts a process's clock."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        without("faketime", Missing("install Debian's package `libfaketime`"))
    return found


# -- one after another, drawn by lot -----------------------------------------------------------


async def storm(scene: Scene) -> None:
    """Whatever can happen to processes, one thing after another, drawn by lot."""
    chance = random.Random(SEED)
    for _ in range(scaled(2, 20)):
        await scene.under_way(chance.randrange(1, 10))
        await asyncio.to_thread(chance.choice(FAULTS), scene.suite)
    scene.recovers()
    await scene.recovered()


def killed(suite: Suite, service: str) -> int:
    """SIGKILL to one service's process."""
    pid = suite.pid(service)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def back(suite: Suite, service: str, old: int) -> bool:
    """Whether another process has taken its place, and is ready."""
    return suite.pid(service) not in {None, old} and suite.ready()


def kill(names: tuple[str, ...], suite: Suite) -> None:
    """At the same moment; return once the suite is whole again."""
    pids = {name: killed(suite, name) for name in names}
    for name, pid in pids.items():
        until(partial(back, suite, name, pid), f"`{name}` is back")


def kill_all(suite: Suite) -> None:
    suite.kill()
    suite.start()


def pause(service: str, suite: Suite) -> None:
    pid = suite.pid(service)
    assert pid is not None
    standstill(pid, STANDSTILL)
    until(suite.ready, "the suite is ready again")


FAULTS: list[Callable[[Suite], None]] = [
    *(partial(kill, (name,)) for name in (*SERVICES, "valkey")),
    *(partial(pause, name) for name in SERVICES),
    partial(kill, ("valkey", "invocation")),
    partial(kill, ("policy", "invocation")),
    kill_all,
]
