"""Faults of deliveries: twice, in any order, unreadable, and to members that come and go."""

import asyncio
from typing import Any

from interlock.contracts.topics import SERVICES, topics_of
from interlock.sdk import Outcome
from tests.chaos.meddling import Meddling, meddling
from tests.chaos.scale import FULL, scaled
from tests.chaos.scene import Scene
from tests.chaos.truth import settled_ledger
from tests.components.suite import Suite, until

JUNK = (b"\x00\xff no text", b"{}", b'{"task_id": 1', b"", b"[" * 1000)


async def storm_of_members(scene: Scene) -> None:
    """Each second a member joins every group, takes messages, and is gone."""
    at_work = Meddling([scene.meddlers(group) for group in SERVICES])
    await at_work.coming_and_going(scaled(3, 10))
    while FULL and len(scene.load.asked) < scene.tasks * 4 // 5:
        await at_work.coming_and_going(10)
    scene.touched = at_work.touched
    scene.recovers()
    await scene.recovered()


async def delivered_twice(scene: Scene) -> None:
    """What reaches a group reaches it twice or more; and once more when all is over."""
    async with meddling(scene.meddlers) as at_work:
        at_work.repeating()
        await scene.under_way(scene.tasks // 4)
        await scene.load.accepted(scene.tasks)
        scene.recovers()
        await scene.recovered()
        ended = await scene.finish()
        await at_work.done()
        await asyncio.to_thread(settle, scene.suite)
        before, records = await documents(scene, ended), await recorded(scene, "before")
        calls = scene.stand.world.crm.calls()
        for _ in range(2):
            await at_work.again()
        await asyncio.to_thread(settle, scene.suite)
        scene.touched = at_work.touched
    assert await documents(scene, ended) == before
    assert scene.stand.world.crm.calls() == calls
    assert await recorded(scene, "after") == records


async def mixed_up(scene: Scene) -> None:
    """What reaches a group reaches it later, and in another order."""
    async with meddling(scene.meddlers) as at_work:
        at_work.mixing()
        await scene.under_way(scene.tasks // 4)
        await scene.load.accepted(scene.tasks)
        await at_work.done()
        scene.touched = at_work.touched
        scene.recovers()
        await scene.recovered()


async def poisoned(scene: Scene) -> None:
    """Messages that nobody can read on each topic of each group: parked, and in nobody's way."""
    before = {name: dead(scene.suite, name) for name in SERVICES}
    for group in SERVICES:
        await scene.meddlers(group).junk(JUNK)
    scene.recovers()
    await scene.recovered()
    wanted = {name: before[name] + parked_by(name) for name in SERVICES}
    await scene.until(
        lambda: {name: dead(scene.suite, name) for name in SERVICES} == wanted,
        f"these are parked: {wanted}",
    )
    scene.touched = sum(len(JUNK) * len(topics_of(name)) for name in SERVICES)


def parked_by(service: str) -> int:
    """Audit keeps what it cannot read; everybody else parks it."""
    return 0 if service == "audit" else len(JUNK) * len(topics_of(service))


async def documents(scene: Scene, ended: dict[str, Outcome]) -> dict[str, Any]:
    """What the gateway tells of each task."""
    return {task: (await scene.load.client.task(task).show()).document for task in sorted(ended)}


async def recorded(scene: Scene, name: str) -> Any:
    """How many records of which type the ledger holds."""
    ledger = await settled_ledger(scene.suite, scene.load.asked, scene.stand.folder / name)
    return ledger.types


def settle(suite: Suite) -> None:
    """Return once no group has anything left to do."""
    try:
        until(lambda: not any(waiting(suite, name) for name in SERVICES), "all groups are idle")
    except RuntimeError as error:
        left = {name: waiting(suite, name) for name in SERVICES}
        raise RuntimeError(f"{error}what they have left to do: {left}") from None


def waiting(suite: Suite, service: str) -> int:
    told = suite.ask("GET", f"/{service}/v1/status")
    return int(told["waiting"] + told["in_flight"])


def dead(suite: Suite, service: str) -> int:
    """Dead letters of a group."""
    return int(suite.ask("GET", f"/{service}/v1/status")["dead"])
