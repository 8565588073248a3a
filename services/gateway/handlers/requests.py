"""Calls of older clients, by the ids of their requests (MCP 2025-11-25, "Cancellation").

Without a session an id says little: it is unique within one client, and a principal may have many.
So what it means is done only where it can mean one call. In a session it means one.
"""

import asyncio
from collections.abc import Coroutine

import structlog

from interlock.contracts.task import Task
from interlock.errors import Unavailable
from interlock.identity.tokens import Caller
from services.gateway.handlers.leases import Reply
from services.gateway.handlers.tasks import Tasks

log = structlog.get_logger()
MEANS = "`notifications/cancelled`"


class Requests:
    """All of one replica; the store knows those of the others."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._open: dict[Reply, Task] = {}
        self._noting: set[asyncio.Task[None]] = set()

    def begin(self, reply: Reply, task: Task) -> None:
        """The client of `reply.request` waits for the task from now on."""
        assert reply.request is not None
        self._open[reply] = task
        self._note(self._tasks.store.ask(task, reply.request))

    def end(self, reply: Reply) -> None:
        """It does so no longer."""
        task = self._open.pop(reply, None)
        if task is not None and reply.request is not None:
            self._note(self._tasks.store.unask(task, reply.request))

    async def cancel(self, caller: Caller, request: str, why: str) -> None:
        """Ask for the end of the call that the principal's client made under that id."""
        store = self._tasks.store
        places = await store.asked(caller.principal, request)
        found = await asyncio.gather(*map(store.read, places))
        tasks = [one.task for one in found if one is not None and not one.final]
        if len(tasks) != 1:
            log.info("request.not_cancelled", found=len(tasks))
            return
        reason = f"{MEANS}: {why[:500]}" if why else MEANS
        await self._tasks.request_cancel(tasks[0], caller.principal, reason)

    def _note(self, noting: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(_noted(noting))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)


async def _noted(noting: Coroutine[None, None, None]) -> None:
    try:
        await noting
    except Unavailable as error:  # a cancellation may be ignored (MCP, "Cancellation")
        log.warning("request.not_noted", why=error.detail)
