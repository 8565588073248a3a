"""The client at the other end of a call, and what it is told while it waits: the task's log."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock.contracts.outcomes import TaskLogged, TaskProgressed
from interlock.contracts.task import TaskEvent
from interlock.errors import Unavailable
from services.gateway.handlers.leases import Reply
from services.gateway.model import Place, Snapshot
from services.gateway.store import LOG_AT_ONCE, Snapshots

Progress = Callable[[float, float | None, str], Awaitable[None]]
Logged = Callable[[str], Awaitable[None]]


class Asks(Protocol):
    """Puts requests to a client in the middle of its call."""

    async def ask(self, request_id: str, request: Mapping[str, Any]) -> None: ...

    async def withdraw(self, request_id: str) -> None: ...


@dataclass(slots=True)
class Listener:
    """What it wants to hear; who wants nothing costs nothing."""

    progress: Progress | None = None
    """Takes progress, where the client asked for it; numbers only ever grow (MCP, "Progress")."""
    logged: Logged | None = None
    """Takes what the upstream logs, the exact JSON `params` of `notifications/message`."""
    modern: bool = True
    """Since 2026-07-28 closing the stream is a cancellation; before it never was."""
    reply: Reply = field(default_factory=Reply)
    asks: Asks | None = None
    """Where the client is asked what its call asks; None: only with the answer."""

    @property
    def curious(self) -> bool:
        return self.progress is not None or self.logged is not None


class Telling:
    """Tells a listener all that a log holds from a round on: in its order, each entry once,
    whichever replica wrote it."""

    def __init__(self, listener: Listener, store: Snapshots, place: Place, round_: int) -> None:
        self._listener = listener
        self._store = store
        self._place = place
        self._round = round_
        self._seen = 0
        self._told = float("-inf")

    async def __call__(self, snapshot: Snapshot) -> None:
        """All that happened until `snapshot` stood. It returns when the listener has taken it."""
        if snapshot.fact is None:  # nothing has
            return
        with suppress(Unavailable):  # an outage only delays what is told
            more = True
            while more:
                entries = await self._store.log(self._place, self._seen)
                more = len(entries) >= LOG_AT_ONCE
                for one in entries:
                    self._seen = one.number
                    if one.fact is not None and one.fact.task.round >= self._round:
                        await self._tell(one.fact)

    async def _tell(self, fact: TaskEvent) -> None:
        """Progress as long as it grows: a second attempt begins again at nothing."""
        listener = self._listener
        if isinstance(fact, TaskLogged):
            if listener.logged is not None:
                await listener.logged(fact.entry)
        elif isinstance(fact, TaskProgressed) and listener.progress is not None:
            if fact.progress is not None and fact.progress > self._told:
                self._told = fact.progress
                await listener.progress(fact.progress, fact.total, fact.message)
