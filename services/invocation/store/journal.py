"""The journal: a durable queue of calls, in the service's own database."""

from collections.abc import Callable, Sequence
from datetime import datetime

from interlock.bus import Raw
from interlock.contracts.task import Task
from interlock.storage.database import Database
from services.invocation.model import Control, Job, Key, Lease, Round, State
from services.invocation.store import claiming, looking, rounds, writing
from services.invocation.store.claiming import Claimed, Wanted
from services.invocation.store.looking import Page, Waiting
from services.invocation.store.rounds import Taken
from services.invocation.store.rows import Entry, Known
from services.invocation.store.writing import Late, Told, Write, Written


class Journal:
    """Each method is one transaction, on SQLite and PostgreSQL alike.

    All raise `Unavailable` while the database is away. It has no twin in memory: a SQLite file is
    as quick to make, and what the journal promises is what the database does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(
        self,
        entries: Sequence[Entry],
        committed: Callable[[list[Known | None]], None] = lambda found: None,
    ) -> list[Known | None]:
        """Insert each whose key is free; for each what was there before, or None where it is new.

        Where a row is being executed, an entry's `control` is left in it. `committed` is told the
        same before it would survive a power cut.
        """
        return await self._database.quick(lambda c: writing.insert_entries(c, entries), committed)

    async def claim(
        self, wanted: Wanted, committed: Callable[[Claimed], None] = lambda claimed: None
    ) -> Claimed:
        """Take leases on ready rows; when this returns, they are kept.

        `committed` is told the same before it would survive a power cut.
        """
        return await self._database.quick(lambda c: claiming.claim(c, wanted), committed)

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        """End rows or give them back, each only under its lease."""
        return await self._database.quick(lambda c: writing.write_all(c, writes))

    async def mark(self, told: Sequence[Told], now: datetime) -> None:
        """These rows' messages are on the bus."""
        await self._database.quick(lambda c: writing.mark_published(c, told, now))

    async def settle(self, key: Key, late: Late) -> bool:
        """Say how an unknown task had ended. False if it is not unknown, or was settled before."""
        return await self._database.run(lambda c: writing.settle(c, key, late))

    async def beat(self, owner: str) -> dict[Lease, Control]:
        """Show life; the leases of `owner` that are to be stopped.

        After a power cut nobody lives, so this need not survive one.
        """
        return await self._database.quick(lambda c: claiming.beat(c, owner), durable=False)

    async def answered(self, owner: str) -> dict[Lease, tuple[Task, str]]:
        """Answers for calls of `owner` that wait for some, each with its round's header."""
        return await self._database.read(lambda c: claiming.answered(c, owner))

    async def find(self, key: Key) -> Known | None:
        """The row of a task."""
        found = await self._database.read(lambda c: writing.find(c, {key}))
        return found.get(key)

    async def give(self, given: Round, now: datetime) -> tuple[Taken, Known | None]:
        """Take input in, once; and the row as it was before."""
        return await self._database.quick(lambda c: rounds.give(c, given, now))

    async def retire(self, owner: str) -> None:
        """`owner` is gone for good."""
        await self._database.run(lambda c: claiming.retire(c, owner))

    async def leases(self) -> dict[Lease, int | None]:
        """All leases, each with its holder's heartbeat counter."""
        return await self._database.glance(claiming.leases)

    async def leased(self, lease: Lease) -> tuple[Job, Control | None] | None:
        """The job under a lease; None where the lease is over."""
        return await self._database.read(lambda c: claiming.leased(c, lease))

    async def overdue(self, now: datetime, limit: int) -> list[Job]:
        """Rows past their deadline that nobody holds."""
        return await self._database.read(lambda c: looking.overdue(c, now, limit))

    async def unpublished(self, before: datetime, limit: int) -> list[tuple[Told, tuple[Raw, ...]]]:
        """What ended, or asks for input, since before that moment and has yet to go out."""
        return await self._database.glance(lambda c: looking.unpublished(c, before, limit))

    async def waiting(self) -> Waiting:
        """How much work waits."""
        return await self._database.read(looking.waiting)

    async def forget(self, before: datetime) -> None:
        """Delete what ended long ago."""
        await self._database.run(lambda c: looking.forget(c, before))

    async def page(self, tenant: str, state: State | None, limit: int) -> Sequence[Page]:
        """A tenant's tasks, newest first."""
        return await self._database.read(lambda c: looking.page(c, tenant, state, limit))

    async def shown(self, key: Key) -> tuple[Page, tuple[Raw, ...]] | None:
        """One task, and the messages that state its end."""
        return await self._database.read(lambda c: looking.shown(c, key))
