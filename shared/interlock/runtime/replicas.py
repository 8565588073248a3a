"""Which processes run a service: each says every second that it is there, and whoever stops saying
so is forgotten. Nothing else is believed: a process that was killed cannot say that it is gone.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError

from interlock.errors import Unavailable

BEAT = 1.0
TIME_TO_LIVE = 5.0
"""Seconds without a word after which a process is not counted any more."""
PATIENCE = 2.0

SAY = """#!lua flags=allow-oom
-- KEYS: sorted set of ids by the server's time, hash of records. ARGV: milliseconds to live, then
-- nothing to look, an id to leave, or an id and its record. Answers with the records of the living.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[3] then
  redis.call('ZADD', KEYS[1], now, ARGV[2])
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
elseif ARGV[2] then
  redis.call('ZADD', KEYS[1], 0, ARGV[2])
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return redis.call('HVALS', KEYS[2])
"""


class Replica(BaseModel):
    """One process of a service, as it says itself."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Of this run of the process: after a restart it is another."""
    service: str
    host: str
    pid: int
    started: datetime
    version: str
    ready: bool = False
    reasons: tuple[str, ...] = ()
    """Why it is not ready."""
    handled: int = 0
    """Work done since it started: messages, or calls where those are what waits."""


def this_process(service: str, started: datetime) -> Replica:
    """The process that runs this."""
    return Replica(
        id=secrets.token_hex(8),
        service=service,
        host=socket.gethostname(),
        pid=os.getpid(),
        started=started,
        version=_version(),
    )


@cache
def _version() -> str:
    """Found among all that is installed, which takes 5 ms: once for all services of a process."""
    return version("interlock")


class Replicas:
    """Those of one service, in Redis below the service's own prefix."""

    def __init__(self, redis: Any, prefix: str) -> None:
        self._keys = (f"{prefix}replicas", f"{prefix}replicas:said")
        self._redis = redis

    async def say(self, replica: Replica) -> None:
        """That one is there, and how it is. `Unavailable` while Redis is away."""
        await self._run(replica.id, replica.model_dump_json())

    async def leave(self, replica: Replica) -> None:
        """It ends now."""
        await self._run(replica.id)

    async def living(self) -> list[Replica]:
        """All that were heard of within `TIME_TO_LIVE`, the oldest first."""
        found = [Replica.model_validate_json(said) for said in await self._run()]
        return sorted(found, key=lambda one: (one.started, one.id))

    async def _run(self, *said: str) -> list[bytes]:
        with _away():
            async with asyncio.timeout(PATIENCE):
                milliseconds = int(TIME_TO_LIVE * 1000)
                answer: list[bytes] = await self._redis.eval(
                    SAY, len(self._keys), *self._keys, milliseconds, *said
                )
                return answer


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"replicas cannot be looked up: `{error!r}`") from error
