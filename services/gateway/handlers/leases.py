"""Who waits for a call that may not be repeated, as every replica must see it (DESIGN §5)."""

import asyncio
from dataclasses import dataclass

import structlog

from interlock.contracts.task import Task
from interlock.errors import InterlockError, Refused, Unavailable
from services.gateway.model import TurnedAway, Unanswered
from services.gateway.store import Snapshots

log = structlog.get_logger()
RENEW_EVERY = 1.0
"""A third of a lease (`store.port.LEASE`): two signs of life may get lost."""


@dataclass(slots=True, eq=False)
class Reply:
    """The response under way to a request, for all who have a hand in it."""

    task: Task | None = None
    """The call that whoever repeats the request joins, if this response breaks off."""
    tells_end: bool = False
    """It is the task's end that it tells."""
    ended_by_us: bool = False
    """We cut it, so that its end says nothing about what the client wants."""
    request: str | None = None
    """The id (JSON text) by which its client may cancel it, where closing it would not."""
    error: InterlockError | None = None
    """Why it is an error, and no result."""

    def refuse(self, error: InterlockError) -> None:
        """It tells of that; the first reason is the one that counts."""
        self.error = self.error or error

    @property
    def refused(self) -> Refused | None:
        """Why the door turned the request away; a task that ended without a result is no reason."""
        error = self.error
        outcome = isinstance(error, Unanswered) and not isinstance(error, TurnedAway)
        return error if isinstance(error, Refused) and not outcome else None


class Leases:
    """All of one replica."""

    def __init__(self, store: Snapshots) -> None:
        self._store = store
        self._held: dict[Reply, Task] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def hold(self, reply: Reply, task: Task) -> None:
        """Its client waits for the task from now on."""
        reply.task = self._held[reply] = task

    def let_go(self, reply: Reply, *, written: bool = False) -> None:
        """The response is over; `written`: its last byte was handed to its client's socket.

        What is asked of the store later on finds it so.
        """
        task, reply.task = self._held.pop(reply, None), None
        if task is None:
            return
        leaving = asyncio.ensure_future(self._leave(task, written and reply.tells_end))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, task: Task, told: bool) -> None:
        try:
            await self._store.leave(task, told=told)
        except Unavailable as error:  # the lease ends by itself; an end is told twice at worst
            log.warning("call.not_left", task_id=task.id, why=error.detail)

    async def run(self) -> None:
        """Show that those who wait are there still, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_EVERY)
            if self._held:
                await self._store.renew([*self._held.values()])
