"""Several registries on one database."""

import asyncio

from interlock.contracts.catalogue import Lifecycle
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from services.registry.model import Entry
from services.registry.store import Change, SqlServers
from tests.services.registry.rig import Rig
from tests.services.registry.test_decide import TODAY, server
from tests.services.registry.test_store import MOMENT

SERVERS = 20


async def test_three_sweepers_at_once_retire_each_server_once(database_url: str) -> None:
    databases = [Database(database_url, schema="registry") for _ in range(3)]
    try:
        await migrate(databases[0], "services.registry.migrations")
        store = SqlServers(databases[0])
        for n in range(SERVERS):
            due = server(f"s{n}", lifecycle=Lifecycle.DEPRECATED, retire_on=TODAY)
            await store.add(Change(Entry(due, revision=1), MOMENT))
        replicas = [Rig(database).registry for database in databases]
        retired = await asyncio.gather(*(one.retire_due() for one in replicas))
        assert sum(retired) == SERVERS
        for n in range(SERVERS):
            entry = await store.get("default", f"s{n}")
            assert entry is not None
            assert (entry.record.lifecycle, entry.revision) == (Lifecycle.RETIRED, 2)
            assert len(await store.history("default", f"s{n}")) == 2
    finally:
        for database in databases:
            await database.close()
