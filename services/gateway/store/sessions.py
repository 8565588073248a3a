"""Where sessions of the handshake era live: with a time to live, for every replica to see.

Who opened a session, and at which endpoint, is part of where it is: nobody else finds it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha1, sha256
from typing import Any, NamedTuple, Protocol

import orjson

from interlock.contracts.task import Client, Principal
from services.gateway.model import Session
from services.gateway.store.pipe import Asking, Script

MOST_RESOURCES = 100
"""That one session listens to."""
CLIENT, STREAM, RESOURCE = b"client", b"stream", b"r:"


class Where(NamedTuple):
    """What finds a session."""

    principal: Principal
    route: str
    id: str


class Sessions(Protocol):
    """All sessions. Each method raises `Unavailable` while it cannot."""

    async def open(self, session: Session, most: int) -> bool:
        """Remember it from now on; False where its principal has `most` already."""

    async def find(self, where: Where) -> Session | None:
        """The session, which has not been idle then; None where there is none."""

    async def close(self, where: Where) -> None:
        """Forget it."""

    async def set_client(self, where: Where, client: Client) -> None:
        """What its client says of itself has changed."""

    async def set_stream(self, where: Where, stream: str) -> None:
        """It has a newer stream."""

    async def add_resource(self, where: Where, uri: str) -> bool:
        """It listens to that too; False where it listens to `MOST_RESOURCES` others."""

    async def remove_resource(self, where: Where, uri: str) -> None:
        """It does so no longer."""


def where_of(session: Session) -> Where:
    return Where(session.principal, session.route, session.id)


@dataclass
class _Kept:
    session: Session
    until: float


class MemorySessions:
    """The twin: within one process, for tests."""

    def __init__(self, idle: float, clock: Callable[[], float] | None = None) -> None:
        """`idle`: seconds."""
        self._idle = idle
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._kept: dict[Where, _Kept] = {}

    async def open(self, session: Session, most: int) -> bool:
        now = self._clock()
        self._kept = {where: one for where, one in self._kept.items() if one.until > now}
        if sum(where.principal == session.principal for where in self._kept) >= most:
            return False
        self._kept[where_of(session)] = _Kept(session, now + self._idle)
        return True

    async def find(self, where: Where) -> Session | None:
        kept = self._there(where)
        if kept is None:
            return None
        kept.until = self._clock() + self._idle
        return kept.session

    def _there(self, where: Where) -> _Kept | None:
        kept = self._kept.get(where)
        return kept if kept is not None and kept.until > self._clock() else None

    async def close(self, where: Where) -> None:
        self._kept.pop(where, None)

    def _set(self, where: Where, **changed: Any) -> None:
        kept = self._there(where)
        if kept is not None:
            kept.session = replace(kept.session, **changed)

    async def set_client(self, where: Where, client: Client) -> None:
        self._set(where, client=client)

    async def set_stream(self, where: Where, stream: str) -> None:
        self._set(where, stream=stream)

    async def add_resource(self, where: Where, uri: str) -> bool:
        kept = self._there(where)
        if kept is None or uri in kept.session.resources:
            return True
        if len(kept.session.resources) >= MOST_RESOURCES:
            return False
        self._set(where, resources=kept.session.resources | {uri})
        return True

    async def remove_resource(self, where: Where, uri: str) -> None:
        kept = self._there(where)
        if kept is not None:
            self._set(where, resources=kept.session.resources - {uri})


_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
OPEN = (
    """#!lua
-- KEYS: session, the principal's sessions. ARGV: ms till idle, member, most, client."""
    + _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'client', ARGV[4], 'stream', '')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
"""
)
FIND = (
    """#!lua
-- KEYS: session, the principal's sessions. ARGV: ms till idle, member."""
    + _NOW
    + """
local found = redis.call('HGETALL', KEYS[1])
if #found > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
return found
"""
)
SET = """#!lua
-- KEYS: session. ARGV: most fields that there may be, field, value.
if redis.call('EXISTS', KEYS[1]) == 0 then return 1 end
local more = redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0
if more and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
"""
CLOSE = """#!lua
-- KEYS: session, the principal's sessions. ARGV: member.
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
"""
ALWAYS = 2
"""Fields that are no resource."""


class RedisSessions:
    """Hashes below `<prefix><tenant>:session:`, and by principal a set of those that are open.

    The id itself is not in there, only a digest of it: who reads Redis cannot use a session.
    """

    def __init__(self, redis: Any, prefix: str, idle: float) -> None:
        """`idle`: seconds."""
        self._prefix = prefix
        self._idle = int(idle * 1000)
        self._pipe = Asking(redis)
        self._open, self._find = self._script(OPEN), self._script(FIND)
        self._set, self._close = self._script(SET), self._script(CLOSE)

    def _script(self, source: str) -> Script:
        return Script(self._pipe, source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    async def aclose(self) -> None:
        """Nothing may be asked any more."""
        await self._pipe.close()

    async def open(self, session: Session, most: int) -> bool:
        keys, member = self._at(where_of(session))
        client = session.client.model_dump_json()
        return bool(await self._open(keys, self._idle, member, most, client))

    async def find(self, where: Where) -> Session | None:
        keys, member = self._at(where)
        found = await self._find(keys, self._idle, member)
        if not found:
            return None
        fields = dict(zip(found[::2], found[1::2], strict=True))
        return Session(
            where.id,
            where.principal,
            where.route,
            Client.model_validate_json(fields[CLIENT]),
            frozenset(
                name.removeprefix(RESOURCE).decode() for name in fields if name.startswith(RESOURCE)
            ),
            fields.get(STREAM, b"").decode(),
        )

    async def close(self, where: Where) -> None:
        keys, member = self._at(where)
        await self._close(keys, member)

    async def set_client(self, where: Where, client: Client) -> None:
        await self._put(where, CLIENT, client.model_dump_json())

    async def set_stream(self, where: Where, stream: str) -> None:
        await self._put(where, STREAM, stream)

    async def add_resource(self, where: Where, uri: str) -> bool:
        return await self._put(where, RESOURCE + uri.encode(), "")

    async def remove_resource(self, where: Where, uri: str) -> None:
        (session, _), _ = self._at(where)
        await self._pipe.ask("HDEL", session, RESOURCE + uri.encode())

    async def _put(self, where: Where, field: bytes, value: str) -> bool:
        (session, _), _ = self._at(where)
        return bool(await self._set((session,), MOST_RESOURCES + ALWAYS, field, value))

    def _at(self, where: Where) -> tuple[tuple[str, str], str]:
        """Its keys, and what it is called among its principal's."""
        who = where.principal
        said = [who.kind.value, who.name, who.user]
        member = sha256(orjson.dumps([*said, where.route, where.id])).hexdigest()
        mine = sha256(orjson.dumps(said)).hexdigest()
        below = f"{self._prefix}{who.tenant}:session"
        return (f"{below}:{member}", f"{below}s:{mine}"), member
