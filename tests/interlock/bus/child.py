"""A consumer in a process of its own, to be killed.

`python -m tests.interlock.bus.child URL [REDIS_URL PREFIX]`. It prints the id of each task that it
is given. At task `poison` it kills itself, at `hang` it waits for ever.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from interlock.bus import Effects, Envelope, Group, on
from interlock.contracts.requests import TaskAuthenticated
from tests.interlock.bus.harness import PATIENCE, QUICK, open_kafka, open_redis, open_sqs

ROOT = Path(__file__).parents[3]


async def handle(event: Envelope[TaskAuthenticated]) -> Effects:
    name = event.body.task.id
    sys.stdout.write(f"{name}\n")
    sys.stdout.flush()
    if name == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "hang":
        await asyncio.Event().wait()
    return []


async def consume(url: str, *more: str) -> None:
    opener = partial(open_sqs, make=False) if url.startswith("sqs:") else open_redis
    async with open_kafka(url, *more) if more else opener(url) as bus:
        await bus.run(Group("policy", [on(TaskAuthenticated, handle)], limits=QUICK))


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A consumer of group `policy` in a process of its own; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.interlock.bus.child", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        transport = process._transport  # type: ignore[attr-defined]  # else it warns when collected
        transport.close()


async def says(process: asyncio.subprocess.Process, word: str) -> None:
    """Wait until the child has said `word`."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while (line := await process.stdout.readline()).decode().strip() != word:
            assert line, f"the child ended before it said `{word}`"


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:]))
