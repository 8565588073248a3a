"""Where servers are kept: each change with its history, its facts and its published record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    Row,
    String,
    Table,
    Text,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from interlock.bus import Raw
from interlock.contracts.catalogue import Lifecycle, ServerRecord, ToolRecord
from interlock.errors import Refused
from interlock.state.port import CATALOGUE
from interlock.storage.columns import UtcDateTime
from interlock.storage.database import Database
from interlock.storage.outbox import publish_state, state_fact
from interlock.storage.tables import outbox_table, published_table
from services.registry.model import Entry, Looking, Moment, ToolChange

METADATA = MetaData()
outbox_table(METADATA)
published_table(METADATA)
SERVERS = Table(
    "servers",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("lifecycle", String, nullable=False),
    Column("record", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("pending", Text, nullable=False),
    Column("inspect_task", String),
    Column("inspect_error", Text),
    Column("looking", String, nullable=False, server_default=text("''")),
    Column("revision", BigInteger, nullable=False),
    Index("servers_by_lifecycle", "lifecycle"),
)
HISTORY = Table(
    "history",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("by", String, nullable=False),
    Column("what", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
_CHANGES = TypeAdapter(dict[str, ToolChange])
_TOOLS = TypeAdapter(tuple[ToolRecord, ...])


@dataclass(frozen=True)
class Change:
    """A new version of a server, why it is there, and what goes out with it."""

    entry: Entry
    moment: Moment
    messages: tuple[Raw, ...] = ()


class Servers(Protocol):
    """All servers. A change is there with its history, its messages and its published record."""

    async def get(self, tenant: str, name: str) -> Entry | None: ...
    async def records(self, tenant: str) -> Sequence[ServerRecord]:
        """All of a tenant, by name."""

    async def deprecated(self) -> Sequence[Entry]:
        """All that wait for their retirement, of every tenant."""

    async def history(self, tenant: str, name: str) -> Sequence[Moment]:
        """What happened to a server, oldest first."""

    async def add(self, change: Change) -> None:
        """A new server; `Refused` (`conflict`) if the name is taken."""

    async def save(self, change: Change) -> None:
        """The next revision; `Refused` (`conflict`) if somebody else was faster."""


class MemoryServers:
    """A dict: for tests."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}
        self.moments: dict[tuple[str, str], list[Moment]] = {}
        self.sent: list[Raw] = []

    async def get(self, tenant: str, name: str) -> Entry | None:
        return self.entries.get((tenant, name))

    async def records(self, tenant: str) -> Sequence[ServerRecord]:
        return [e.record for (owner, _), e in sorted(self.entries.items()) if owner == tenant]

    async def deprecated(self) -> Sequence[Entry]:
        return [
            entry
            for entry in self.entries.values()
            if entry.record.lifecycle is Lifecycle.DEPRECATED
        ]

    async def history(self, tenant: str, name: str) -> Sequence[Moment]:
        return self.moments.get((tenant, name), [])

    async def add(self, change: Change) -> None:
        key = _key(change.entry)
        if key in self.entries:
            raise _taken(change.entry)
        self._put(change)

    async def save(self, change: Change) -> None:
        known = self.entries.get(_key(change.entry))
        if known is None or known.revision + 1 != change.entry.revision:
            raise _overtaken(change.entry)
        self._put(change)

    def _put(self, change: Change) -> None:
        self.entries[_key(change.entry)] = change.entry
        self.moments.setdefault(_key(change.entry), []).append(change.moment)
        self.sent += change.messages


class SqlServers:
    """Tables of the registry's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, name: str) -> Entry | None:
        where = (SERVERS.c.tenant == tenant, SERVERS.c.name == name)
        found = await self._entries(*where)
        return found[0] if found else None

    async def records(self, tenant: str) -> Sequence[ServerRecord]:
        return [entry.record for entry in await self._entries(SERVERS.c.tenant == tenant)]

    async def deprecated(self) -> Sequence[Entry]:
        return await self._entries(SERVERS.c.lifecycle == Lifecycle.DEPRECATED.value)

    async def history(self, tenant: str, name: str) -> Sequence[Moment]:
        statement = (
            select(HISTORY.c.at, HISTORY.c.by, HISTORY.c.what, HISTORY.c.reason)
            .where(HISTORY.c.tenant == tenant, HISTORY.c.name == name)
            .order_by(HISTORY.c.revision)
        )
        return await self._database.read(
            lambda connection: [Moment(*row) for row in connection.execute(statement)]
        )

    async def add(self, change: Change) -> None:
        def work(connection: Connection) -> None:
            connection.execute(insert(SERVERS), _row(change.entry))
            _with(connection, change)

        try:
            await self._database.run(work)
        except IntegrityError:
            raise _taken(change.entry) from None

    async def save(self, change: Change) -> None:
        entry = change.entry
        statement = (
            update(SERVERS)
            .where(SERVERS.c.tenant == entry.record.tenant, SERVERS.c.name == entry.record.name)
            .where(SERVERS.c.revision == entry.revision - 1)
            .values(_row(entry))
        )

        def work(connection: Connection) -> None:
            if connection.execute(statement).rowcount != 1:
                raise _overtaken(entry)
            _with(connection, change)

        await self._database.run(work)

    async def _entries(self, *where: Any) -> list[Entry]:
        statement = select(SERVERS).where(*where).order_by(SERVERS.c.tenant, SERVERS.c.name)
        return await self._database.read(
            lambda connection: [_entry(row) for row in connection.execute(statement)]
        )


def _with(connection: Connection, change: Change) -> None:
    record = change.entry.record
    moment = {"at": change.moment.at, "by": change.moment.by, "what": change.moment.what}
    connection.execute(
        insert(HISTORY),
        {
            "tenant": record.tenant,
            "name": record.name,
            "revision": change.entry.revision,
            "reason": change.moment.reason,
            **moment,
        },
    )
    for message in change.messages:
        state_fact(connection, message)
    publish_state(connection, CATALOGUE, record.tenant, record.name, record)


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "tenant": entry.record.tenant,
        "name": entry.record.name,
        "lifecycle": entry.record.lifecycle.value,
        "record": entry.record.model_dump_json(),
        "changes": _CHANGES.dump_json(dict(entry.changes)).decode(),
        "pending": _TOOLS.dump_json(entry.pending).decode(),
        "inspect_task": entry.inspect_task,
        "inspect_error": entry.inspect_error,
        "looking": entry.looking.value,
        "revision": entry.revision,
    }


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        record=ServerRecord.model_validate_json(row.record),
        changes=_CHANGES.validate_python(orjson.loads(row.changes)),
        pending=_TOOLS.validate_json(row.pending),
        inspect_task=row.inspect_task,
        inspect_error=row.inspect_error,
        looking=Looking(row.looking),
        revision=row.revision,
    )


def _key(entry: Entry) -> tuple[str, str]:
    return entry.record.tenant, entry.record.name


def _taken(entry: Entry) -> Refused:
    return Refused(
        f"a server `{entry.record.name}` is registered already; choose another name",
        code="conflict",
    )


def _overtaken(entry: Entry) -> Refused:
    return Refused(
        f"server `{entry.record.name}` was changed by somebody else meanwhile; look and try again",
        code="conflict",
    )
