"""One suite for the dict and for both databases."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from interlock.bus import Raw, Stamp
from interlock.contracts.catalogue import Lifecycle, ToolsetRecord
from interlock.contracts.changes import ToolsetRetired
from interlock.errors import Refused
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from interlock.storage.outbox import unwritten_entries
from interlock.testing.build import KEYRING, noon, person
from interlock.testing.migrations import assert_migrations_match
from services.registry.model import Entry, Moment, ToolChange
from services.registry.store import (
    METADATA,
    Change,
    MemoryServers,
    Servers,
    SqlServers,
    SqlToolsets,
)
from tests.components.fixtures import EMPTY
from tests.services.registry.test_decide import NOON, approved, server, tool

MOMENT = Moment(NOON, "person:olga", "registered", "")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def servers(url: str | None) -> AsyncIterator[Servers]:
    if url is None:
        yield MemoryServers()
        return
    database = Database(url, schema="registry")
    try:
        await migrate(database, "services.registry.migrations")
        yield SqlServers(database)
    finally:
        await database.close()


@EMPTY
async def test_the_migrations_make_the_tables(database_url: str) -> None:
    await assert_migrations_match(database_url, "services.registry.migrations", METADATA)


async def test_a_server_is_read_as_it_was_kept(servers: Servers) -> None:
    entry = replace(
        approved(tool()),
        changes={"search": ToolChange(repeatable=True)},
        inspect_task="t-1",
        revision=1,
    )
    await servers.add(Change(entry, MOMENT))
    assert await servers.get("default", "crm") == entry
    assert await servers.get("other", "crm") is None
    assert await servers.records("default") == [entry.record]
    assert await servers.history("default", "crm") == [MOMENT]


async def test_a_name_is_taken_once(servers: Servers) -> None:
    await servers.add(Change(Entry(server(), revision=1), MOMENT))
    with pytest.raises(Refused, match="registered already"):
        await servers.add(Change(Entry(server(), revision=1), MOMENT))


async def test_of_two_writers_of_one_revision_the_second_is_refused(servers: Servers) -> None:
    await servers.add(Change(Entry(server(), revision=1), MOMENT))
    await servers.save(Change(Entry(server(version="2"), revision=2), MOMENT))
    with pytest.raises(Refused, match="somebody else"):
        await servers.save(Change(Entry(server(version="3"), revision=2), MOMENT))
    kept = await servers.get("default", "crm")
    assert kept is not None and kept.record.version == "2"
    assert len(await servers.history("default", "crm")) == 2


async def test_deprecated_servers_of_every_tenant_are_found(servers: Servers) -> None:
    for tenant, state in (
        ("a", Lifecycle.DEPRECATED),
        ("b", Lifecycle.DEPRECATED),
        ("c", Lifecycle.DRAFT),
    ):
        record = server(tenant=tenant, lifecycle=state)
        await servers.add(Change(Entry(record, revision=1), MOMENT))
    assert [entry.record.tenant for entry in await servers.deprecated()] == ["a", "b"]


async def test_a_change_is_published_with_its_commit(database_url: str) -> None:
    database = Database(database_url, schema="registry")
    try:
        await migrate(database, "services.registry.migrations")
        servers = SqlServers(database)
        await servers.add(Change(Entry(server(), revision=1), MOMENT))
        pending = await database.read(lambda connection: unwritten_entries(connection, 10))
        assert [(one.kind, one.field, one.version) for one in pending] == [("catalogue", "crm", 1)]
    finally:
        await database.close()


async def test_a_toolset_whose_name_is_taken_meanwhile_is_a_conflict(database_url: str) -> None:
    database = Database(database_url, schema="registry")
    try:
        await migrate(database, "services.registry.migrations")
        toolsets = SqlToolsets(database)
        stamp = Stamp("registry", KEYRING, noon)
        one = ToolsetRecord(tenant="acme", name="sales", tools=())

        def stated(version: int) -> Raw:
            fact = ToolsetRetired(by=person(), tenant="acme", name="sales", version=version)
            return stamp.state(fact, f"fact-{version}", None, None)

        ended = await asyncio.gather(
            *(toolsets.add(one, stated) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(one, Refused) for one in ended) == 3
        await toolsets.remove("acme", "sales", stated)
        assert await toolsets.records("acme") == []
        await toolsets.add(one, stated)
        assert await toolsets.records("acme") == [one]
    finally:
        await database.close()
