"""Faults between services and their stores: the broker, the network to it, the database."""

import asyncio
import itertools
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import aiohttp

from tests.chaos.scale import FULL, scaled
from tests.chaos.scene import Scene
from tests.chaos.stands import rival
from tests.components.crm import REPEATABLE, SERVER, arguments
from tests.components.world import World

EVERY = 0.05
"""Seconds from one request at the door to the next: one that waits must not keep the next away,
and a broker that is back in a tenth of a second was away all the same."""
MOST = 30
"""So many may wait at once."""


@dataclass
class Door:
    """What the door answers, asked all the time."""

    here: World
    seen: Counter[str] = field(default_factory=Counter)
    """`202`, or a 503 by whether it says when to come back."""
    tasks: list[str] = field(default_factory=list)
    waiting: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self) -> None:
        """POST after POST until cancelled, answered or not; never another answer than those."""
        headers = {"Authorization": f"Bearer {self.here.key}"}
        alone = aiohttp.TCPConnector(force_close=True)  # a kept connection may end under a request
        async with (
            aiohttp.ClientSession(headers=headers, connector=alone) as session,
            asyncio.TaskGroup() as asking,
        ):
            for n in itertools.count():
                if len(self.waiting) < MOST:
                    one = asking.create_task(self._once(session, n))
                    self.waiting.add(one)
                    one.add_done_callback(self.waiting.discard)
                await asyncio.sleep(EVERY)

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


async def broker_killed(scene: Scene) -> None:
    """SIGKILL to the broker, and a start; the door says 503 meanwhile, and nothing else."""
    door = Door(scene.stand.world)
    async with asyncio.TaskGroup() as beside:
        asking = beside.create_task(door.ask())
        for _ in range(scaled(1, 6)):
            await scene.under_way()
            await scene.by_hand(lambda: scene.stand.transport.kill(scene.suite))
            scene.recovers()
            await scene.until(scene.suite.ready, "the suite is ready again")
            await scene.recovered()
        asking.cancel()
    scene.load.asked |= dict.fromkeys(door.tasks, REPEATABLE)
    assert door.seen.keys() <= {"202", "503, come back", "503, perhaps accepted"}, door.seen
    away = door.seen["503, come back"] + (not FULL) * door.seen["503, perhaps accepted"]
    assert door.seen["202"] and away, door.seen  # an outage of a moment may strike one kind only


async def broker_full(scene: Scene) -> None:
    """The broker has no room for another message for a while."""
    await scene.under_way()
    await scene.by_hand(lambda: scene.stand.transport.fill(scene.suite))
    await asyncio.sleep(scaled(2, 20))
    await scene.by_hand(lambda: scene.stand.transport.drain(scene.suite))
    scene.recovers()
    await scene.recovered()


async def network_cut(scene: Scene) -> None:
    """A second consumer loses the network for longer than the group waits for it: first nothing
    arrives, and later everything does, late; then connections are reset."""
    transport = scene.stand.transport
    services = ("policy", "invocation", "gateway", "audit") if FULL else ("policy",)
    with ExitStack() as stack:
        proxy = stack.enter_context(transport.way(scene.suite))
        behind = transport.behind(scene.suite, proxy)
        for service in services:
            stack.enter_context(rival(scene.stand, service, behind))
        for fault in (proxy.hold, proxy.cut):
            sent = proxy.passed
            await scene.under_way()
            await scene.until(lambda sent=sent: proxy.passed > sent + 1000, "the rival works")  # type: ignore[misc]  # mypy cannot infer a default
            fault()
            await asyncio.sleep(transport.patience + 1.0)
            proxy.mend()
            scene.recovers()
            await scene.recovered()


async def database_killed(scene: Scene) -> None:
    """SIGKILL to every process of the SQL server, and a start."""
    server = scene.stand.database
    assert server is not None
    for _ in range(scaled(1, 3)):
        await scene.under_way()
        await scene.by_hand(server.kill)
        await asyncio.sleep(1.0)
        await scene.by_hand(server.start)
        scene.recovers()
        await scene.recovered()
