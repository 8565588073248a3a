"""A consumer in a process of its own, to be killed: `python -m tests.interlock.bus.child URL`.

It prints the id of each task that it is given. At task `poison` it kills itself, at `hang` it
waits for ever.
"""

import asyncio
import os
import signal
import sys

from interlock.bus import Effects, Envelope, Group, on
from interlock.contracts.requests import TaskAuthenticated
from tests.interlock.bus.harness import QUICK, open_redis


async def handle(event: Envelope[TaskAuthenticated]) -> Effects:
    name = event.body.task.id
    sys.stdout.write(f"{name}\n")
    sys.stdout.flush()
    if name == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "hang":
        await asyncio.Event().wait()
    return []


async def consume(url: str) -> None:
    async with open_redis(url) as bus:
        await bus.run(Group("policy", [on(TaskAuthenticated, handle)], limits=QUICK))


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1]))
