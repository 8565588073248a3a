"""SQLite: one thread that writes and one that reads, each with its own connection.

A transaction hops to its thread once. The asynchronous drivers hop for every statement, which costs
several times the statement itself.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from interlock.errors import Refused, Unavailable
from interlock.storage.backend import T, Work
from interlock.storage.faults import unavailable
from interlock.storage.thread import Worker

BUSY_SECONDS = 5.0
"""How long a transaction waits for another process that holds the file."""


class Sqlite:
    """One file, for its owner's eyes only; its folder must exist."""

    def __init__(self, file: str, *, durable: bool) -> None:
        _make_private(file)
        synchronous = "FULL" if durable else "NORMAL"
        self._writer = _Lane(
            file,
            begin="BEGIN IMMEDIATE",
            pragmas=("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"),
        )
        self._reader = _Lane(file, begin="BEGIN", pragmas=("query_only=ON",))

    async def run(self, work: Work[T], *, alter: bool) -> T:
        """One transaction, alone: it holds the file's write lock from its first moment."""
        return await self._writer.do(self._writer.alter if alter else self._writer.transact, work)

    async def read(self, work: Work[T]) -> T:
        """One snapshot of what is committed (WAL), whatever the writer does meanwhile."""
        return await self._reader.do(self._reader.transact, work)

    async def close(self) -> None:
        """After what is under way. The writer last: the last one to leave folds the WAL back."""
        await self._reader.close()
        await self._writer.close()


class _Lane:
    """A thread with one connection. Only the methods `do` and `close` belong to other threads."""

    def __init__(self, file: str, *, begin: str, pragmas: tuple[str, ...]) -> None:
        self._file = file
        self._engine = _engine(file, begin, pragmas)
        self._thread = Worker(f"sqlite-{Path(file).stem}")
        self._open: Connection | None = None
        self._closed = False

    async def do(self, how: Callable[[Work[T]], T], work: Work[T]) -> T:
        """Run `work` there, in the way `how`."""
        if self._closed:
            raise Unavailable(f"database `{self._file}` is closed")
        return await self._thread.do(lambda: how(work))

    def transact(self, work: Work[T]) -> T:
        try:
            connection = self._connection()
            with connection.begin():
                return work(connection)
        except DBAPIError as error:
            if fault := unavailable(error, self._file):
                self._discard()
                raise fault from error
            raise

    def alter(self, work: Work[T]) -> T:
        """Without foreign keys, which SQLite cannot switch inside a transaction.

        Altering a table copies and drops it, and a drop deletes what refers to it.
        """

        def checked(connection: Connection) -> T:
            result = work(connection)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise Refused(f"the migration leaves rows of `{broken[0]}` that refer to nothing")
            return result

        self._discard()
        engine = self._engine
        self._engine = _engine(self._file, "BEGIN IMMEDIATE", ("journal_mode=WAL",))
        try:
            return self.transact(checked)
        finally:
            self._discard()
            self._engine = engine

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._thread.do(self._discard)
            self._thread.close()

    def _connection(self) -> Connection:
        if self._open is None:
            self._open = self._engine.connect()
        return self._open

    def _discard(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # it may be what failed
                connection.close()


def _make_private(file: str) -> None:
    """SQLite gives the files beside it the mode that it finds here.

    What cannot be made is for the first transaction to tell.
    """
    with suppress(OSError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _engine(file: str, begin: str, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=file),
        poolclass=NullPool,
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS},
    )

    def connected(connection: Any, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine
