"""A consumer's second: it says that it lives, moves due retries, finds the dead, trims streams."""

import asyncio

import structlog
from redis.exceptions import ResponseError

from interlock.bus.redis import scripts
from interlock.bus.redis.entries import Keys
from interlock.bus.redis.line import Command, Line, refused
from interlock.contracts.topics import TOPOLOGY, topics_of
from interlock.errors import Unavailable

log = structlog.get_logger(__name__)

SECOND = 1.0
TIME_TO_LIVE = 3.0
"""Seconds without a beat after which a consumer counts as dead."""
TRIM_EVERY = 3.0


class Pulse:
    """Runs beside a member, over a connection of its own."""

    def __init__(self, group: str, name: str, line: Line, keys: Keys) -> None:
        self.orphaned: set[str] = set()
        """Dead consumers of the group that may have left something."""
        self._line = line
        self._keys = keys
        self._nudged = asyncio.Event()
        streams = tuple(keys.read_by(group))
        moves = [
            key
            for topic in topics_of(group)
            for key in (keys.delayed(topic, group), keys.retry(topic, group))
        ]
        named = (keys.alive(group) + name, *streams, *moves)
        arguments = (group, name, keys.alive(group), int(TIME_TO_LIVE * 1000), len(streams))
        self._beat: Command = ("EVAL", scripts.BEAT, len(named), *named, *arguments)
        self._trim = _trim(group, keys)

    def nudge(self) -> None:
        """A retry was scheduled: look when it is due."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled. While Redis is away it only tries on: the member says so."""
        clock = asyncio.get_running_loop().time
        trimmed = clock()
        while True:
            wait = SECOND
            try:
                wait = await self.beat(self._line)
                if clock() - trimmed >= TRIM_EVERY:
                    trimmed = clock()
                    await self._line.ask(self._trim)
            except Unavailable as error:
                log.debug("bus.no_beat", reason=error.detail)
                await self._line.drop()
            try:
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()

    async def beat(self, line: Line) -> float:
        """One beat. Seconds until the next retry is due, at most a second."""
        (answer,) = await line.ask(self._beat)
        if isinstance(answer, ResponseError):
            raise refused(answer)
        wait, dead = answer
        self.orphaned = {name.decode() for name in dead}
        return SECOND if wait < 0 else min(SECOND, wait / 1000 + 0.001)

    async def close(self) -> None:
        await self._line.drop()


def _trim(group: str, keys: Keys) -> Command:
    """Trims every topic and this group's retries; the lock has one consumer at it at a time."""
    topics = {keys.stream(topic): ",".join(spec.groups) for topic, spec in TOPOLOGY.items()}
    retries = {keys.retry(topic, group): group for topic in topics_of(group)}
    streams = topics | retries
    lock = f"{keys.prefix}bus:trimming:{group}"
    named = (lock, *streams)
    held = int(TRIM_EVERY * 1000 / 2)
    return ("EVAL", scripts.TRIM, len(named), *named, held, *streams.values())
