"""A process that starts: `python -m tests.interlock.storage.starting URL` migrates, and ends."""

import asyncio
import sys

from interlock.storage import Database, migrate
from tests.interlock.storage.tables import PACKAGE


async def start(url: str) -> None:
    database = Database(url, schema="people")
    await migrate(database, PACKAGE)
    await database.close()


if __name__ == "__main__":
    asyncio.run(start(sys.argv[1]))
    if "without-alembic" in sys.argv:
        assert "alembic" not in sys.modules, "alembic was imported"
