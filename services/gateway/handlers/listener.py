"""The client at the other end of a call, and what it is told while it waits: the task's log."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock.contracts.outcomes import TaskLogged, TaskProgressed
from interlock.contracts.task import TaskEvent
from interlock.errors import Unavailable
from services.gateway.decide import steps
from services.gateway.handlers.leases import Reply
from services.gateway.model import Place, Snapshot
from services.gateway.store import LOG_AT_ONCE, MOST_PROGRESS, Snapshots

STEP_SECONDS = 5.0
"""How long a step is waited for of which something later is known already: it was published before
that, and another replica has it in hand."""
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
    """Tells a listener all that happened from a round on: in the order in which it happened, each
    once, whichever replica wrote it down and when."""

    def __init__(self, listener: Listener, store: Snapshots, place: Place, round_: int) -> None:
        self._listener = listener
        self._store = store
        self._place = place
        self._round = round_
        self._seen = 0
        self._waiting: dict[steps.Step, TaskEvent] = {}
        self._told: dict[int, int] = {}
        self._progress = float("-inf")
        self._lacks_since: float | None = None

    async def __call__(self, snapshot: Snapshot) -> bool:
        """What led to `snapshot`; False where something lacks that is on its way, no longer than
        `STEP_SECONDS`. It returns when the listener has taken what there is."""
        if snapshot.fact is None:  # nothing has happened
            return True
        unread = False
        try:
            await self._read()
        except Unavailable:  # an outage only delays what is told
            unread = True
        await self._tell_next()
        if not unread and not steps.lacks(self._told, self._waiting, snapshot.fact):
            self._lacks_since = None
            return True
        now = asyncio.get_running_loop().time()
        if self._lacks_since is None:
            self._lacks_since = now
        if now - self._lacks_since < STEP_SECONDS and self._seen < MOST_PROGRESS:
            return False
        await self._give_up(steps.taken(snapshot.fact))
        return True

    async def _read(self) -> None:
        more = True
        while more:
            entries = await self._store.log(self._place, self._seen)
            more = len(entries) >= LOG_AT_ONCE
            for one in entries:
                self._seen, step = one.number, steps.step_of(one.fact)
                if step is not None and one.fact is not None:
                    self._waiting[step] = one.fact

    async def _tell_next(self) -> None:
        for step in steps.next_up(self._told, self._waiting):
            await self._tell(step)

    async def _give_up(self, taken: Mapping[int, int]) -> None:
        """What lacks was lost on its way, or the log had no room for it."""
        for step in sorted(self._waiting):
            await self._tell(step)
        for attempt, number in taken.items():
            self._told[attempt] = max(number, self._told.get(attempt, 0))
        self._lacks_since = None

    async def _tell(self, step: steps.Step) -> None:
        """Progress as long as it grows: a second attempt begins again at nothing."""
        (attempt, number), fact = step, self._waiting.pop(step)
        self._told[attempt] = max(number, self._told.get(attempt, 0))
        listener = self._listener
        if fact.task.round < self._round:
            return
        if isinstance(fact, TaskLogged):
            if listener.logged is not None:
                await listener.logged(fact.entry)
        elif isinstance(fact, TaskProgressed) and listener.progress is not None:
            if fact.progress is not None and fact.progress > self._progress:
                self._progress = fact.progress
                await listener.progress(fact.progress, fact.total, fact.message)
