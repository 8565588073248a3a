"""What a message costs through our bus, beside the raw client in the same run.

`python -m tests.bench.bus` prints JSON: CPU of this process, microseconds a message. The garbage
collector is set as in our services, and what is consumed was signed elsewhere. Clients have
connected and groups have joined before anything is counted, the raw ones and ours.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from interlock.bus import Bus, Effects, Envelope, Group, Keyring, Raw, on
from interlock.bus.redis import RedisBus
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.topics import Topic
from interlock.embedded import valkey
from interlock.runtime.main import settle_memory
from interlock.testing.build import KEYRING, authenticated, denied, noon, raw

MESSAGES = 20_000
BATCH = 128
ROUNDS = 3
BODY = '{"text":"' + "x" * 700 + '"}'


def stranger() -> Keyring:
    """The suite's keys in a process that signed nothing yet: all that it reads, it must prove."""
    return Keyring(KEYRING.keys)


def made() -> list[Raw]:
    """Messages of about 1 KB."""
    return [raw(authenticated(f"task-{n}", arguments=BODY)) for n in range(MESSAGES)]


async def cpu(work: Callable[[], Awaitable[None]], messages: int = MESSAGES) -> float:
    """CPU a message, in microseconds."""
    began = time.process_time()
    await work()
    return (time.process_time() - began) / messages * 1e6


async def raw_publish(redis: Any, messages: list[Raw]) -> None:
    for at in range(0, len(messages), BATCH):
        pipeline = redis.pipeline(transaction=False)
        for message in messages[at : at + BATCH]:
            pipeline.xadd("raw", {**message.attributes, "data": message.body})
        await pipeline.execute()


async def raw_consume(redis: Any) -> None:
    left = MESSAGES
    while left:
        read = await redis.xreadgroup("bench", "me", {"raw": ">"}, count=BATCH)
        entries = next(iter(read.values()))[0] if isinstance(read, dict) else read[0][1]
        for _, fields in entries:
            orjson.loads(fields[b"data"])
        await redis.xack("raw", "bench", *(entry for entry, _ in entries))
        left -= len(entries)


async def our_publish(bus: Bus, messages: list[Raw]) -> None:
    for at in range(0, len(messages), BATCH):
        await bus.publish(messages[at : at + BATCH])


async def our_consume(bus: Bus, effects: bool, messages: int = MESSAGES) -> float:
    """CPU a message, in microseconds, from the first that is handled to the last: all that was
    read and proven before was one batch."""
    times: list[float] = []
    left, done = [messages], asyncio.Event()

    async def handle(event: Envelope[TaskAuthenticated]) -> Effects:
        if left[0] in (messages, 1):
            times.append(time.process_time())
        left[0] -= 1
        if not left[0]:
            done.set()
        return [denied(event.body.task)] if effects else []

    running = asyncio.ensure_future(bus.run(Group("policy", [on(TaskAuthenticated, handle)])))
    await done.wait()
    running.cancel()
    await asyncio.wait([running])
    began, ended = times
    return (ended - began) / (messages - BATCH) * 1e6


async def one_round(url: str) -> dict[str, float]:
    messages = made()
    async with Redis.from_url(url) as redis:
        await redis.flushdb()
        await redis.xgroup_create("raw", "bench", 0, mkstream=True)
        figures = {"raw_publish": await cpu(lambda: raw_publish(redis, messages))}
        figures["raw_consume"] = await cpu(lambda: raw_consume(redis))
        await redis.delete("raw")
        bus = RedisBus(url, stranger(), noon)
        await bus.open()
        await bus.apply()
        figures["publish"] = await cpu(lambda: our_publish(bus, messages))
        figures["consume"] = await our_consume(bus, effects=False)
        await redis.delete(f"interlock:bus:{Topic.TASK_AUTHENTICATED}")
        await bus.close()
        await bus.open()
        await bus.apply()
        await our_publish(bus, messages)
        figures["consume_and_state"] = await our_consume(bus, effects=True)
        await bus.close()
    return figures


async def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with valkey(Path(folder)) as server:
            rounds = [await one_round(server.url) for _ in range(ROUNDS)]
    return report(rounds)


def report(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The best of each figure, beside what was promised."""
    best = {name: round(min(one[name] for one in rounds), 1) for name in rounds[0]}
    return {
        "bus": best,
        "consume_more_than_raw": round(best["consume"] - best["raw_consume"], 1),
        "publish_more_than_raw": round(best["publish"] - best["raw_publish"], 1),
        "targets": {"consume_more_than_raw": 30, "publish_more_than_raw": 15},
    }


def measure(run: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> None:
    """Print the figures."""
    loop_factory = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - as the services run, where it exists

        loop_factory = uvloop.new_event_loop
    settle_memory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        print(json.dumps(runner.run(run()), indent=2))


if __name__ == "__main__":
    measure(run)
