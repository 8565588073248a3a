"""PostgreSQL through asyncpg: a pool, and the service's own schema."""

import asyncio
from collections.abc import Callable
from typing import Generic

from sqlalchemy import URL, AdaptedConnection, Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from interlock.errors import Unavailable
from interlock.storage.backend import T, Work
from interlock.storage.faults import COLLISIONS, sqlstate, unavailable

TRIES = 5
"""Of a transaction that collided, or whose connection was lost before its commit."""
LASTING = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
PATIENCE = 5.0
"""Seconds to wait for a connection."""


class Postgres:
    """One schema of a PostgreSQL database."""

    def __init__(self, url: URL, schema: str) -> None:
        self._name = f"{url.host or url.query.get('host') or 'localhost'}/{url.database}"
        self._engine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=8,
            max_overflow=8,
            pool_timeout=PATIENCE,
            connect_args={
                "timeout": PATIENCE,
                "server_settings": {
                    "search_path": f'"{schema}"',
                    "application_name": f"interlock-{schema}",
                },
            },
        )
        event.listen(self._engine.sync_engine, "connect", _lasting)
        self._under_way: set[asyncio.Task[object]] = set()
        self._closed = False

    async def run(self, work: Work[T], *, alter: bool) -> T:
        """One transaction, READ COMMITTED. The caller may leave; the transaction goes on."""
        return await self._shielded(work, read_only=False)

    async def quick(self, work: Work[T], committed: Callable[[T], None], durable: bool) -> T:
        """As `run`: a server is never in the caller's thread, and flushes as it is set up to."""
        result = await self._shielded(work, read_only=False)
        committed(result)
        return result

    async def read(self, work: Work[T]) -> T:
        """One read-only transaction."""
        return await self._shielded(work, read_only=True)

    async def glance(self, work: Work[T]) -> T:
        """As `read`: a server is never in the caller's thread."""
        return await self.read(work)

    async def close(self) -> None:
        """After what is under way."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(self._under_way)
        await self._engine.dispose()

    async def _shielded(self, work: Work[T], *, read_only: bool) -> T:
        if self._closed:
            raise Unavailable(f"database `{self._name}` is closed")
        task = asyncio.ensure_future(self._tried(work, read_only))
        self._under_way.add(task)
        task.add_done_callback(self._left)
        return await asyncio.shield(task)

    def _left(self, task: "asyncio.Task[object]") -> None:
        """An error whose caller has left is nobody's."""
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()

    async def _tried(self, work: Work[T], read_only: bool) -> T:
        for attempt in range(1, TRIES + 1):
            transaction = _Transaction(work, read_only)
            try:
                async with self._engine.connect() as connection:
                    return await transaction.run(connection)
            except DBAPIError as error:
                if attempt < TRIES and transaction.repeatable(error):
                    continue
                if fault := unavailable(error, self._name):
                    raise fault from error
                raise
            except (PoolTimeout, OSError) as error:  # asyncpg lets a refused connection's pass
                why = str(error) or type(error).__name__
                raise Unavailable(f"database `{self._name}` cannot be reached: {why}") from error
        raise AssertionError("the last attempt returns or raises")


def _lasting(connection: AdaptedConnection, record: object) -> None:
    """What is committed outlives the server, whatever the server's default: a claim that a kill
    takes back is a call made twice."""
    connection.run_async(lambda driver: driver.execute(LASTING))


class _Transaction(Generic[T]):
    """One attempt at `work`."""

    def __init__(self, work: Work[T], read_only: bool) -> None:
        self._work = work
        self._read_only = read_only
        self._committing = False

    async def run(self, connection: AsyncConnection) -> T:
        return await connection.run_sync(self._run)

    def repeatable(self, error: DBAPIError) -> bool:
        """Whether nothing was committed for sure, and another try may fare better."""
        lost = error.connection_invalidated and not self._committing
        return lost or sqlstate(error) in COLLISIONS

    def _run(self, connection: Connection) -> T:
        if self._read_only:
            connection = connection.execution_options(postgresql_readonly=True)
        with connection.begin():
            result = self._work(connection)
            self._committing = True
            return result
