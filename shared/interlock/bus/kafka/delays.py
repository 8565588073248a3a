"""Messages that wait for their retry: in the state plane's Redis, because Kafka cannot delay.

For each topic and group a sorted set of ids (score: milliseconds of the server's time) and a hash
of what they stand for. An id names one attempt at one message, so what is added twice is one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from interlock.bus.kafka.records import Outgoing, header, packed, unpacked
from interlock.bus.redis.line import client_of
from interlock.errors import Refused, Unavailable

LEASE = 5.0
"""Seconds after which what a mover took, and did not move, is taken by another."""
AT_ONCE = 200
PATIENCE = 10.0
"""Seconds within which a Redis that is there answers."""

ADD = """#!lua
-- KEYS: sorted set, hash. ARGV: milliseconds, id, message.
local t = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
local due = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
return redis.call('ZADD', KEYS[1], due, ARGV[2])
"""

TAKE = """#!lua flags=allow-oom
-- What is due, for one mover. KEYS: (sorted set, hash)… ARGV: milliseconds of the lease, limit.
-- Answers: milliseconds until the next is due or -1, then (place, id, message)…
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local answer, wait = {-1}, -1
for at = 1, #KEYS, 2 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', now, 'LIMIT', 0, ARGV[2])
  for _, id in ipairs(due) do
    local message = redis.call('HGET', KEYS[at + 1], id)
    if message then
      redis.call('ZADD', KEYS[at], now + ARGV[1], id)
      for _, part in ipairs({(at - 1) / 2, id, message}) do table.insert(answer, part) end
    else
      redis.call('ZREM', KEYS[at], id)
    end
  end
  local next = redis.call('ZRANGE', KEYS[at], 0, 0, 'WITHSCORES')
  if next[2] then
    local left = math.max(0, next[2] - now)
    if wait < 0 or left < wait then wait = left end
  end
end
answer[1] = wait
return answer
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A message to be moved now."""

    place: str
    """The retry topic that it waits for."""
    name: str
    record: Outgoing


class Delays:
    """Places are names of retry topics."""

    def __init__(self, url: str | None, prefix: str) -> None:
        self._prefix = prefix
        self._redis: Any = None
        if url is not None:
            self._redis = client_of(url)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    def require(self) -> None:
        """`Refused` where there is no Redis: who consumes must be able to wait."""
        if self._redis is None:
            raise Refused("a group on Kafka needs the Redis of the state plane: no URL was given")

    async def add(self, place: str, delay: float, name: str, record: Outgoing) -> None:
        """Due after `delay` seconds, under an id that names this attempt."""
        await self._ask("EVAL", ADD, 2, *self._keys(place), int(delay * 1000), name, packed(record))

    async def take(self, places: Sequence[str]) -> tuple[float | None, list[Due]]:
        """What is due, ours for a while; and the seconds until there is more."""
        keys = [key for place in places for key in self._keys(place)]
        wait, *found = await self._ask("EVAL", TAKE, len(keys), *keys, int(LEASE * 1000), AT_ONCE)
        due = [
            Due(places[int(at)], name.decode(), unpacked(message))
            for at, name, message in zip(found[::3], found[1::3], found[2::3], strict=True)
        ]
        return (None if wait < 0 else wait / 1000), due

    async def moved(self, due: Sequence[Due]) -> None:
        """They lie in their topics."""
        for one in due:
            ids, messages = self._keys(one.place)
            await self._ask("ZREM", ids, one.name)
            await self._ask("HDEL", messages, one.name)

    async def waiting(self, place: str) -> tuple[int, int | None]:
        """How many wait; and since when, in milliseconds, the one that is due first."""
        if self._redis is None:
            return 0, None
        ids, messages = self._keys(place)
        count = int(await self._ask("ZCARD", ids))
        first = await self._ask("ZRANGE", ids, 0, 0) if count else []
        message = await self._ask("HGET", messages, first[0]) if first else None
        since = header(unpacked(message).headers, "x_since") if message else None
        return count, int(since) if since else None

    def _keys(self, place: str) -> tuple[str, str]:
        return f"{self._prefix}bus:{place}:due", f"{self._prefix}bus:{place}:delayed"

    async def _ask(self, *command: Any) -> Any:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._redis.execute_command(*command)
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"the state plane's Redis does not serve: `{error}`") from error
