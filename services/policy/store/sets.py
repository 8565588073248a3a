"""Where policy sets are kept: every version of every tenant's."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from interlock.bus import Raw
from interlock.contracts.access import PolicySetRecord
from interlock.errors import Refused
from interlock.state.port import POLICY
from interlock.storage.database import Database
from interlock.storage.hot import Hot
from interlock.storage.outbox import publish_state, state_fact
from services.policy.model import PolicyVersion
from services.policy.store.tables import POLICY_SETS

FIELD = "set"
_NEWEST = Hot(
    select(POLICY_SETS.c.tenant, func.max(POLICY_SETS.c.version))
    .where(POLICY_SETS.c.version > bindparam("above"))
    .group_by(POLICY_SETS.c.tenant)
)


class Sets(Protocol):
    """All policy sets. A new version is there with its fact and its published record."""

    async def versions(self) -> Mapping[str, int]:
        """The newest version of each tenant that has any."""

    async def get(self, tenant: str, version: int | None = None) -> PolicyVersion | None:
        """That version, or the newest."""

    async def history(self, tenant: str, limit: int) -> Sequence[PolicyVersion]:
        """Newest first."""

    async def add(self, made: PolicyVersion, fact: Raw) -> None:
        """The next version; `Refused` (`conflict`) if somebody else was faster."""


class MemorySets:
    """A dict: for tests."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], PolicyVersion] = {}
        self.sent: list[Raw] = []

    async def versions(self) -> Mapping[str, int]:
        return dict(sorted(self.kept))

    async def get(self, tenant: str, version: int | None = None) -> PolicyVersion | None:
        wanted = (await self.versions()).get(tenant, 0) if version is None else version
        return self.kept.get((tenant, wanted))

    async def history(self, tenant: str, limit: int) -> Sequence[PolicyVersion]:
        newest = sorted(self.kept, reverse=True)
        return [self.kept[key] for key in newest if key[0] == tenant][:limit]

    async def add(self, made: PolicyVersion, fact: Raw) -> None:
        if self.kept.setdefault((made.record.tenant, made.record.version), made) is not made:
            raise _overtaken()
        self.sent.append(fact)


class SqlSets:
    """A table of policy's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self) -> Mapping[str, int]:
        return await self._database.glance(
            lambda connection: dict(_NEWEST.found(connection, {"above": 0}))
        )

    async def get(self, tenant: str, version: int | None = None) -> PolicyVersion | None:
        where = [] if version is None else [POLICY_SETS.c.version == version]
        found = await self._versions(tenant, 1, *where)
        return found[0] if found else None

    async def history(self, tenant: str, limit: int) -> Sequence[PolicyVersion]:
        return await self._versions(tenant, limit)

    async def add(self, made: PolicyVersion, fact: Raw) -> None:
        record = made.record

        def work(connection: Connection) -> None:
            connection.execute(insert(POLICY_SETS), _values(made))
            state_fact(connection, fact)
            publish_state(connection, POLICY, record.tenant, FIELD, record)

        try:
            await self._database.run(work)
        except IntegrityError:
            raise _overtaken() from None

    async def _versions(self, tenant: str, limit: int, *where: Any) -> list[PolicyVersion]:
        statement = (
            select(POLICY_SETS)
            .where(POLICY_SETS.c.tenant == tenant, *where)
            .order_by(POLICY_SETS.c.version.desc())
            .limit(limit)
        )
        return await self._database.read(
            lambda connection: [_version(row) for row in connection.execute(statement)]
        )


def _values(made: PolicyVersion) -> dict[str, Any]:
    return {
        "tenant": made.record.tenant,
        "version": made.record.version,
        "record": made.record.model_dump_json(),
        "from_folder": made.from_folder,
        "at": made.at,
        "by": made.by,
        "what": made.what,
    }


def _version(row: Row[Any]) -> PolicyVersion:
    return PolicyVersion(
        record=PolicySetRecord.model_validate_json(row.record),
        at=row.at,
        by=row.by,
        what=row.what,
        from_folder=tuple(row.from_folder),
    )


def _overtaken() -> Refused:
    return Refused(
        "somebody else changed the policies meanwhile; look and try again", code="conflict"
    )
