"""Which sessions are open: one for each connection, opened anew when it has died."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

import aiohttp

from interlock.contracts.catalogue import StdioConnection
from interlock.errors import Refused
from services.invocation.clients.carrier import HttpLine
from services.invocation.clients.port import (
    Connection,
    Place,
    Reach,
    StdioCommand,
    UpstreamError,
)
from services.invocation.clients.process import ProcessLine
from services.invocation.clients.sessions import Line, Session

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

    async def close(self) -> None:
        """Close all, at the same time."""
        closing = {*self._open.values(), *self._leaving}
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
            unwanted = self._wanted is not None and connection.place not in self._wanted
            longest = LEFT_SECONDS if unwanted else IDLE_SECONDS
            if not session.over and not session.in_flight and now - session.used > longest:
                session.retire()
                self._leaving.add(session)
                del self._open[connection]
