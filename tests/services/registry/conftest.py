from collections.abc import AsyncIterator

import pytest

from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from tests.services.registry.rig import Rig

MIGRATIONS = "services.registry.migrations"


@pytest.fixture
def migrations() -> str:
    return MIGRATIONS


@pytest.fixture
async def rig(sqlite_url: str) -> AsyncIterator[Rig]:
    database = Database(sqlite_url, schema="registry")
    try:
        await migrate(database, MIGRATIONS)
        made = Rig(database)
        await made.reader.load()
        yield made
    finally:
        await database.close()
