"""Auth for tests."""

from collections.abc import AsyncIterator

import pytest

from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from tests.services.auth.rig import Rig

MIGRATIONS = "services.auth.migrations"


@pytest.fixture
def migrations() -> str:
    return MIGRATIONS


@pytest.fixture
async def rig(sqlite_url: str) -> AsyncIterator[Rig]:
    """Auth as it is right after its start."""
    database = Database(sqlite_url)
    await migrate(database, MIGRATIONS)
    rig = Rig(database)
    await rig.open()
    yield rig
    await database.close()
