"""A database that keeps its service waiting: somebody else holds it."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.chaos.stands import Stand


@asynccontextmanager
async def locked(stand: Stand, service: str) -> AsyncIterator[None]:
    """No transaction of the service gets through, for as long as the block lasts."""
    if stand.database is None:
        file = stand.suite.data / f"{service}.db"
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as held:
            held.execute("BEGIN EXCLUSIVE")
            yield
            held.execute("ROLLBACK")
        return
    engine = create_async_engine(stand.database.url)
    try:
        async with engine.begin() as connection:
            told = await connection.execute(
                text("SELECT tablename FROM pg_tables WHERE schemaname = :name"), {"name": service}
            )
            for (table,) in told.all():
                taken = f'LOCK TABLE "{service}"."{table}" IN ACCESS EXCLUSIVE MODE'
                await connection.execute(text(taken))
            yield
    finally:
        await engine.dispose()
