"""Who listens to upstreams, and what was last stated about each."""

from dataclasses import replace

from sqlalchemy import Connection, select, update

from interlock.storage.database import Database
from interlock.storage.statements import insert_ignore, insert_or
from services.invocation.model import Heard, Listener, Lists, Upstream
from services.invocation.store.tables import HEARD, LISTENERS

NAME = "upstreams"
"""Of the one lease."""


class HeardStore:
    """Each method is one transaction. All raise `Unavailable` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listener(self) -> Listener:
        """Who listens at the moment."""
        found = await self._database.read(_listener)
        return found or Listener(None, 0, 0)

    async def take(self, seen: Listener, owner: str) -> Listener | None:
        """Take the lease over from whoever was `seen`; None where somebody moved meanwhile."""
        taken = Listener(owner, seen.fence + 1, seen.beat + 1)

        def work(connection: Connection) -> bool:
            free = {"name": NAME, "owner": None, "fence": 0, "beat": 0}
            connection.execute(insert_ignore(LISTENERS), free)
            return _move(connection, seen, taken)

        return taken if await self._database.run(work) else None

    async def beat(self, held: Listener) -> Listener | None:
        """Show life; None where the lease is somebody else's."""
        moved = replace(held, beat=held.beat + 1)
        done = await self._database.quick(lambda c: _move(c, held, moved))
        return moved if done else None

    async def leave(self, held: Listener) -> None:
        """Whoever wants to may listen."""
        statement = update(LISTENERS).where(
            LISTENERS.c.name == NAME, LISTENERS.c.fence == held.fence
        )
        await self._database.run(lambda c: c.execute(statement.values(owner=None)))

    async def heard(self, upstream: Upstream) -> Heard | None:
        """What was last stated about an upstream; None where nobody ever listened to it."""
        tenant, server = upstream
        statement = select(HEARD.c.seq, HEARD.c.lists).where(
            HEARD.c.tenant == tenant, HEARD.c.server == server
        )

        def work(connection: Connection) -> Heard | None:
            row = connection.execute(statement).first()
            return None if row is None else Heard(row.seq, Lists.read(row.lists))

        return await self._database.read(work)

    async def note(self, held: Listener, upstream: Upstream, heard: Heard) -> bool:
        """Keep what was stated, under the lease; False where that is over."""
        tenant, server = upstream
        told = {"seq": heard.seq, "lists": heard.lists.text()}

        def work(connection: Connection) -> bool:
            mine = LISTENERS.c.name == NAME, LISTENERS.c.fence == held.fence
            same = {"fence": LISTENERS.c.fence}  # locks the row against a takeover
            if connection.execute(update(LISTENERS).where(*mine).values(same)).rowcount != 1:
                return False
            statement = insert_or(HEARD, ["tenant", "server"], told)
            connection.execute(statement, {"tenant": tenant, "server": server, **told})
            return True

        return await self._database.run(work)


def _listener(connection: Connection) -> Listener | None:
    columns = (LISTENERS.c.owner, LISTENERS.c.fence, LISTENERS.c.beat)
    row = connection.execute(select(*columns).where(LISTENERS.c.name == NAME)).first()
    return None if row is None else Listener(*row)


def _move(connection: Connection, was: Listener, will: Listener) -> bool:
    """Whether the row was as `was`; then it is as `will`."""
    statement = update(LISTENERS).where(
        LISTENERS.c.name == NAME, LISTENERS.c.fence == was.fence, LISTENERS.c.beat == was.beat
    )
    values = {"owner": will.owner, "fence": will.fence, "beat": will.beat}
    return connection.execute(statement.values(values)).rowcount == 1
