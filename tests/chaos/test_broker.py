"""The broker dies under load: its supervisor brings it back, and nothing else is restarted."""

import asyncio
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.load import load_on
from tests.chaos.scale import MARKS, scaled
from tests.chaos.truth import faults_of
from tests.components.crm import REPEATABLE, SERVER, arguments
from tests.components.suite import Suite, until
from tests.components.world import World, world

pytestmark = MARKS
KILLS = scaled(2, 6)
WAVE = 40


@dataclass
class Door:
    """What the door answers, asked all the time."""

    here: World
    seen: Counter[str] = field(default_factory=Counter)
    """`202`, or a 503 by whether it says when to come back."""
    tasks: list[str] = field(default_factory=list)

    async def ask(self) -> None:
        """POST after POST until cancelled; never another answer than those two."""
        headers = {"Authorization": f"Bearer {self.here.key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            n = 0
            while True:
                n += 1
                await self._once(session, n)

    async def _once(self, session: aiohttp.ClientSession, n: int) -> None:
        body = {"server": SERVER, "tool": REPEATABLE, "arguments": arguments(REPEATABLE, n)}
        async with session.post(f"{self.here.suite.url}/v1/tasks", json=body) as answer:
            told = await answer.json(content_type=None)
            if answer.status == 202:
                self.seen["202"] += 1
                self.tasks.append(told["id"])
            elif answer.status == 503 and "Retry-After" in answer.headers:
                self.seen["503, come back"] += 1
            elif answer.status == 503 and "/v1/tasks/" in str(told):
                self.seen["503, perhaps accepted"] += 1
            else:
                self.seen[f"{answer.status}: {told}"] += 1


@pytest.mark.promise("outage")
async def test_a_dead_broker_costs_503_with_retry_after_and_no_task(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        door = Door(here)
        async with load_on(here) as load:
            asking = asyncio.create_task(door.ask())
            for kill in range(KILLS):
                work = asyncio.create_task(load.run(WAVE, f"wave-{kill}"))
                await load.accepted(kill * WAVE + WAVE // 4)
                await asyncio.to_thread(kill_broker, here.suite)
                await work
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            load.asked |= dict.fromkeys(door.tasks, REPEATABLE)
            ended = await load.ended()
        assert not await faults_of(here, load.asked, ended, tmp_path / "export")
        assert door.seen.keys() <= {"202", "503, come back", "503, perhaps accepted"}
        assert door.seen["202"] and door.seen["503, come back"]


def kill_broker(suite: Suite) -> None:
    """SIGKILL to Valkey; return once the suite is ready on another one."""
    pid = suite.pid("valkey")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: suite.pid("valkey") not in {None, pid}, "Valkey is started again")
    until(suite.ready, "the suite is ready again")
