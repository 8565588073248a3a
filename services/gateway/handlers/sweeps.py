"""What the gateway does by the clock. Any number of replicas may do it: the store hands out each
piece of work to one at a time, and whatever is done twice has the same ids."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from interlock.bus import Bus, Raw, Stamp
from interlock.contracts.requests import DeadlinePassed
from interlock.contracts.task import Task
from interlock.errors import Unavailable
from services.gateway.model import Sent
from services.gateway.store import Snapshots

log = structlog.get_logger()
LOOK_EVERY = 1.0
MARK_EVERY = 0.25


class Sweeps:
    """The outbox's second half, and the watch over deadlines."""

    def __init__(
        self, store: Snapshots, bus: Bus, stamp: Stamp, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._bus = bus
        self._stamp = stamp
        self._now = now
        self._confirmed: list[Sent] = []
        self._some = asyncio.Event()

    def confirmed(self, sent: Sent) -> None:
        """The bus has the task's request. It is noted later, for many at once."""
        self._confirmed.append(sent)
        self._some.set()

    async def mark(self) -> None:
        """Note what was confirmed, until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(MARK_EVERY)
            await self.mark_now()

    async def mark_now(self) -> None:
        """Note what was confirmed so far. What cannot be noted is published once more."""
        self._some.clear()
        requests, self._confirmed = self._confirmed, []
        if requests:
            await self._store.published(requests)

    async def republish(self) -> None:
        """Publish what was accepted and never confirmed, the same bytes, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            while await self.republish_now():
                pass

    async def republish_now(self) -> int:
        """How many there were; a long backlog comes in parts."""
        found = await self._store.unpublished(self._now())
        if found:
            await self._bus.publish([one.raw for one in found])
            await self._store.published([Sent(one.place, one.round) for one in found])
            log.info("tasks.republished", count=len(found))
        return len(found)

    async def watch_deadlines(self) -> None:
        """Ask for the end of what should have ended, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            while await self.ask_for_ends():
                pass

    async def ask_for_ends(self) -> int:
        """How many there were; a long backlog comes in parts."""
        now = self._now()
        tasks = await self._store.overdue(now)
        if tasks:
            await self._bus.publish([self._passed(task, now) for task in tasks])
            log.info("tasks.overdue", count=len(tasks))
        return len(tasks)

    def _passed(self, task: Task, now: datetime) -> Raw:
        minute = int((now - task.deadline).total_seconds() // 60)
        return self._stamp.from_journal(DeadlinePassed(task=task), (minute, 0), None)


async def publish_now(bus: Bus, raw: Raw) -> bool:
    """Whether the bus took it; if not, the sweep publishes it later."""
    try:
        await bus.publish([raw])
    except Unavailable as error:
        log.warning("task.unpublished", task_id=raw.attributes["ce_subject"], why=error.detail)
        return False
    return True
