"""Toolsets: nothing is kept of them but what is published, and that for good."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select

from interlock.bus import Raw
from interlock.contracts.catalogue import ToolsetRecord
from interlock.errors import Refused
from interlock.state.port import TOOLSETS
from interlock.storage.database import Database
from interlock.storage.outbox import PUBLISHED, publish_state, state_fact

Stated = Callable[[int], Raw]
"""What is stated of the version that a change made."""


class SqlToolsets:
    """Toolsets in the registry's own database; its relay publishes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def records(self, tenant: str) -> Sequence[ToolsetRecord]:
        """All of a tenant, by name."""
        statement = (
            select(PUBLISHED.c.body)
            .where(PUBLISHED.c.kind == TOOLSETS.name, PUBLISHED.c.tenant == tenant)
            .where(PUBLISHED.c.body.is_not(None))
            .order_by(PUBLISHED.c.field)
        )
        return await self._database.read(
            lambda connection: [
                ToolsetRecord.model_validate_json(body) for body in connection.scalars(statement)
            ]
        )

    async def add(self, toolset: ToolsetRecord, stated: Stated) -> None:
        """A new one; `Refused` (`conflict`) if the name is taken, or is being taken."""

        def work(connection: Connection) -> None:
            version, there = _seen(connection, toolset.tenant, toolset.name)
            if not there:
                made = publish_state(connection, TOOLSETS, toolset.tenant, toolset.name, toolset)
                if made == version + 1:
                    state_fact(connection, stated(made))
                    return
            raise Refused(
                f"a toolset `{toolset.name}` is there already; delete it first, or choose "
                "another name",
                code="conflict",
            )

        await self._database.run(work)

    async def remove(self, tenant: str, name: str, stated: Stated) -> None:
        """Away with it; `Refused` (`not_found`) if there is none."""

        def work(connection: Connection) -> None:
            _, there = _seen(connection, tenant, name)
            if not there:
                raise Refused(f"there is no toolset `{name[:200]}`", code="not_found")
            version = publish_state(connection, TOOLSETS, tenant, name, None)
            state_fact(connection, stated(version))

        await self._database.run(work)


def _seen(connection: Connection, tenant: str, name: str) -> tuple[int, bool]:
    """The last version under a name, 0 for none, and whether it stands."""
    row = connection.execute(
        select(PUBLISHED.c.version, PUBLISHED.c.body)
        .where(PUBLISHED.c.kind == TOOLSETS.name)
        .where(PUBLISHED.c.tenant == tenant, PUBLISHED.c.field == name)
    ).first()
    return (0, False) if row is None else (row.version, row.body is not None)
