"""Which sessions are open: one for each connection, opened anew when it has died."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp

from interlock.contracts.catalogue import StdioConnection
from interlock.errors import Refused
from services.invocation.clients.carrier import HttpLine
from services.invocation.clients.line import Line
from services.invocation.clients.port import (
    Connection,
    Place,
    Reach,
    StdioCommand,
    UpstreamCall,
    UpstreamError,
)
from services.invocation.clients.process import ProcessLine
from services.invocation.clients.sessions import Session
from services.invocation.clients.text import compact
from services.invocation.decide.asking import askable

IDLE_SECONDS = 600.0
"""After so long without a call a session is closed."""
LEFT_SECONDS = 5.0
"""The same, where the catalogue lets nobody call the server any more."""
FIRST_PAUSE, LONGEST_PAUSE, HEALTHY_SECONDS = 0.1, 10.0, 30.0
"""Seconds before a process that died is started again, at first and at most; how long it must have
lived for its death to be the first."""
CLOSE_SECONDS = 10.0


@dataclass
class Deaths:
    """How often in a row a process died young, and until when (loop time) it rests."""

    count: int = 0
    rests_until: float = 0.0

    def note(self, lived: float, at: float) -> None:
        """A process died."""
        self.count = 1 if lived >= HEALTHY_SECONDS else self.count + 1
        self.rests_until = at + min(FIRST_PAUSE * 2 ** min(self.count - 1, 10), LONGEST_PAUSE)


class Sessions:
    """All open sessions of this process."""

    def __init__(self, http: aiohttp.ClientSession, commands: Iterable[StdioCommand]) -> None:
        self._http = http
        self._commands = {command.name: command for command in commands}
        self._open: dict[Connection, Session] = {}
        self._deaths: dict[tuple[str, str], Deaths] = {}
        self._leaving: set[Session] = set()
        self._wanted: Collection[Place] | None = None
        self._idle: dict[tuple[Connection, str], list[Session]] = {}
        self._lent: set[Session] = set()

    def session(self, connection: Connection) -> Session:
        """The session of this connection; perhaps still opening.

        `Refused` for a command that no operator named; `UpstreamError` while a process that keeps
        dying rests.
        """
        now = asyncio.get_running_loop().time()
        self._close_idle(now)
        session = self._open.get(connection)
        if session is not None and not session.over:
            session.used = now
            return session
        if session is not None:
            self._leaving.add(session)
        line = self._line(connection)
        if isinstance(connection.at, StdioConnection):
            self._check_rest(connection, session, now)
        is_http = not isinstance(connection.at, StdioConnection)
        session = self._open[connection] = Session(connection, line, handshake=is_http)
        return session

    def only(self, wanted: Collection[Place]) -> None:
        """Close soon what is open to others than these, unless it is in use."""
        self._wanted = wanted
        self._close_idle(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def lent(self, connection: Connection, request: UpstreamCall) -> AsyncIterator[Session]:
        """A session for one call alone, which declares what may be asked of its client.

        What a server asks names no call that it belongs to; in a session with a single call it can
        only be that one. After a call that was answered the session serves another.
        """
        now = asyncio.get_running_loop().time()
        self._close_idle(now)
        capabilities = askable(request.client)
        place = connection, compact(capabilities)
        idle = self._idle.get(place)
        session = idle.pop() if idle else None
        if session is None or session.over:
            session = self._made(connection, capabilities, now)
        self._lent.add(session)
        clean = False
        try:
            await session.opened()
            yield session
            clean = True
        except UpstreamError as error:
            clean = error.reach is Reach.ANSWERED
            raise
        finally:
            self._lent.discard(session)
            if clean and not session.over:
                self._idle.setdefault(place, []).append(session)
            else:
                self._leave(connection, session)

    def _made(self, connection: Connection, capabilities: Mapping[str, Any], now: float) -> Session:
        line = self._line(connection)
        is_http = not isinstance(connection.at, StdioConnection)
        if not is_http:
            self._check_rest(connection, None, now)
        return Session(connection, line, handshake=is_http, capabilities=capabilities)

    def _leave(self, connection: Connection, session: Session) -> None:
        died = session.left and isinstance(connection.at, StdioConnection)
        if died:
            deaths = self._deaths.setdefault((connection.tenant, connection.server), Deaths())
            deaths.note(session.ended - session.began, session.ended)
        session.retire()
        self._leaving.add(session)

    async def close(self) -> None:
        """Close all, at the same time."""
        idle = {session for sessions in self._idle.values() for session in sessions}
        closing = {*self._open.values(), *self._leaving, *self._lent, *idle}
        for session in closing:
            session.end()
        await asyncio.gather(*(session.ended_within(CLOSE_SECONDS) for session in closing))
        self._open.clear()

    def _line(self, connection: Connection) -> Callable[[Callable[[], None]], Line]:
        if not isinstance(connection.at, StdioConnection):
            return lambda _: HttpLine(self._http, connection)
        command = self._commands.get(connection.at.command)
        if command is None:
            known = ", ".join(f"`{name}`" for name in sorted(self._commands)) or "none"
            raise Refused(
                f"there is no stdio command `{connection.at.command}`; an operator's settings name "
                f"these: {known}",
                code="unknown_command",
            )
        return partial(ProcessLine, command)

    def _check_rest(self, connection: Connection, died: Session | None, now: float) -> None:
        deaths = self._deaths.setdefault((connection.tenant, connection.server), Deaths())
        if died is not None:
            del self._open[connection]
            deaths.note(died.ended - died.began, died.ended)
        if (rest := deaths.rests_until - now) > 0:
            error = UpstreamError(
                Reach.NOT_SENT,
                f"the process of server `{connection.server}` died `{deaths.count}` times in a row;"
                f" it is started again in `{rest:.1f}` seconds",
            )
            error.retry_after = rest
            raise error

    def _close_idle(self, now: float) -> None:
        self._leaving = {session for session in self._leaving if not session.left}
        for connection, session in [*self._open.items()]:
            idle = now - session.used > self._longest(connection)
            if not session.over and not session.in_flight and idle:
                session.retire()
                self._leaving.add(session)
                del self._open[connection]
        for place, sessions in [*self._idle.items()]:
            longest = self._longest(place[0])
            old = [one for one in sessions if one.over or now - one.used > longest]
            for session in old:
                sessions.remove(session)
                self._leave(place[0], session)
            if not sessions:
                del self._idle[place]

    def _longest(self, connection: Connection) -> float:
        """Seconds without a call after which a session is closed."""
        unwanted = self._wanted is not None and connection.place not in self._wanted
        return LEFT_SECONDS if unwanted else IDLE_SECONDS


def needs_own(request: UpstreamCall) -> bool:
    """Whether a call cannot share a session: what the server says would be anybody's."""
    return request.on_ask is not None or request.on_log is not None
