"""From a service's database to the bus and to published state, after each commit and again.

A store commits a fact or a record with the rows that it is about (`state_fact`, `publish_state`);
the relay takes it from there. Whatever fails in between is found again: at its start, each second,
and all published state once a minute. Several replicas may relay one database: facts keep their
ids, and of a record the highest version stays.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from interlock.bus import Bus
from interlock.errors import Unavailable
from interlock.state.port import Entry, StateWriter
from interlock.state.shared_run import SharedRun
from interlock.storage import outbox
from interlock.storage.database import Database
from interlock.storage.outbox import publish_state, state_fact

__all__ = ["Relay", "publish_state", "saved", "state_fact"]

log = structlog.get_logger()
PAGE = 200
KEPT = timedelta(days=1)
"""How long published facts stay in the outbox, for people who look for one."""


def saved(error: Unavailable) -> Unavailable:
    """What to say of a change that is committed, and that `error` keeps from going out now."""
    return Unavailable(
        f"it is saved, and will be published without being asked for again: {error.detail}",
        code="saved",
        retry_after=error.retry_after,
    )


@dataclass
class Relay:
    """Relays one database. Times are in seconds."""

    database: Database
    bus: Bus
    writer: StateWriter
    now: Callable[[], datetime]
    poll_seconds: float = 1.0
    rewrite_seconds: float = 60.0
    _pass: SharedRun = field(init=False)
    _woken: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._pass = SharedRun(self._relay)

    async def flush(self) -> None:
        """Return once all that was committed before this call is on the bus and published.

        Raises `Unavailable` (`saved`) where that is not possible now: it goes out later.
        """
        try:
            await self._pass()
        except Unavailable as error:
            raise saved(error) from error

    def notify(self) -> None:
        """Something was committed, and nobody waits for it to go out."""
        self._woken.set()

    async def run(self) -> None:
        """Relay in the background, until cancelled; outages are waited out."""
        loop = asyncio.get_running_loop()
        rewrite_at, away = loop.time(), False
        while True:
            self._woken.clear()
            try:
                if loop.time() >= rewrite_at:
                    await self._again()
                    rewrite_at = loop.time() + self.rewrite_seconds
                await self._pass()
            except Unavailable as error:
                if not away:
                    log.warning("relay.waiting", schema=self.database.schema, why=error.detail)
                away = True
            else:
                if away:
                    log.info("relay.resumed", schema=self.database.schema)
                away = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_seconds):
                    await self._woken.wait()

    async def _relay(self) -> None:
        """State first: a revocation must not wait for a bus that is away."""
        state, facts = await self.database.glance(outbox.pending)
        try:
            if state:
                await self._write_state()
        finally:
            if facts:
                await self._publish_facts()

    async def _write_state(self) -> None:
        more = True
        while more:
            entries = await self.database.glance(partial(outbox.unwritten_entries, limit=PAGE))
            if entries:
                await self.writer.write(entries)
                await self.database.run(partial(outbox.mark_written, entries=entries))
            more = len(entries) == PAGE

    async def _publish_facts(self) -> None:
        more = True
        while more:
            facts = await self.database.glance(partial(outbox.unpublished_facts, limit=PAGE))
            if facts:
                await self.bus.publish(facts)
                mark = partial(outbox.mark_published, facts=facts, now=self.now())
                await self.database.run(mark)
            more = len(facts) == PAGE

    async def _again(self) -> None:
        """All of the published state, in case Redis lost it; and the outbox's old rows away."""
        last: Entry | None = None
        while page := await self.database.read(
            partial(outbox.entries_after, last=last, limit=PAGE)
        ):
            await self.writer.write(page)
            last = page[-1]
        await self.database.run(partial(outbox.forget_facts, before=self.now() - KEPT))
