"""What the hops of a governed call cost with nothing governed: `tests.bench.hops`, measured.

The yardstick for the figures beside it: machines differ, and so do their minutes; what the bare
hops cost there says what is the machine's.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil
from redis.asyncio import Redis

from interlock.embedded import valkey
from tests.bench.caller import Caller, connections, one_by_one, quantile, side_by_side
from tests.bench.hops import ENDED, SUBMITTED
from tests.components.suite import started

CHUNK = 250


class Cpu:
    """Of a process, since it was last asked."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._spent = self._now()

    def _now(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def ms_each(self, number: int) -> float:
        before, self._spent = self._spent, self._now()
        return round((self._spent - before) / number * 1e3, 3)


@asynccontextmanager
async def hops(echo: str) -> AsyncIterator[tuple[str, int, Redis]]:
    """They run, on a Valkey set as Interlock sets it; their URL, their process, that Valkey."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            valkey(Path(folder) / "valkey") as server,
            Redis.from_url(server.url, protocol=2) as redis,
        ):
            words = ("--redis", server.url, "--upstream", f"{echo}/mcp", "--data", folder)
            with started("tests.bench.hops", *words) as (url, pid):
                yield url, pid, redis


async def in_bulk(redis: Redis, tasks: int) -> float:
    """Tasks a second, published straight to the first stream, until the last one ended."""
    newest: Any = await redis.xrevrange(ENDED, count=1)
    began, ended, last = time.perf_counter(), 0, newest[0][0]
    for at in range(0, tasks, CHUNK):
        pipe = redis.pipeline(transaction=False)
        for n in range(at, min(at + CHUNK, tasks)):
            body = orjson.dumps({"task": f"bulk-{n}", "arguments": {"text": str(n)}})
            pipe.xadd(SUBMITTED, {"task": f"bulk-{n}", "data": body})
        await pipe.execute()
    while ended < tasks:
        read: Any = await redis.xread({ENDED: last}, block=1000)
        for _, entries in read:
            ended, last = ended + len(entries), entries[-1][0]
    return tasks / (time.perf_counter() - began)


async def bare_figures(echo: str, calls: int, seconds: float, tasks: int = 2000) -> dict[str, Any]:
    """As a governed call's, with the same client against the same upstream; and in bulk."""
    async with hops(echo) as (url, pid, redis), connections() as session:
        caller, cpu = Caller(session, f"{url}/mcp", "echo", "none"), Cpu(pid)
        alone = await one_by_one(caller, calls)
        at_1 = cpu.ms_each(calls + 50)
        rate, took = await side_by_side(caller, 32, seconds)
        at_32 = cpu.ms_each(len(took))
        bulk = await in_bulk(redis, tasks)
        return {
            "ms_p50": round(quantile(alone, 0.5) * 1e3, 2),
            "ms_p99": round(quantile(alone, 0.99) * 1e3, 2),
            "cpu_ms_a_call_at_1": at_1,
            "calls_a_second_at_32": round(rate),
            "cpu_ms_a_call_at_32": at_32,
            "tasks_a_second": round(bulk),
            "cpu_ms_a_task": cpu.ms_each(tasks),
        }


def times_bare(bare: Mapping[str, float], ours: Mapping[str, Any]) -> dict[str, float]:
    """Our figures over the bare ones; CPU is that of all our services together."""
    said = {name.removeprefix("governed_"): figure for name, figure in ours.items()}
    return {
        name: round(_together(said[name]) / figure, 2)
        for name, figure in bare.items()
        if name in said
    }


def _together(figure: float | Mapping[str, float]) -> float:
    if isinstance(figure, Mapping):
        return sum(cpu for process, cpu in figure.items() if process != "valkey")
    return figure
