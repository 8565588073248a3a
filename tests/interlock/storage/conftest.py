"""Databases with the tables of `tables`."""

from collections.abc import AsyncIterator

import pytest

from interlock.storage import Database, migrate
from tests.interlock.storage.tables import PACKAGE


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of each kind."""
    database = Database(database_url, schema="people")
    await migrate(database, PACKAGE)
    yield database
    await database.close()
