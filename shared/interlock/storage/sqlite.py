"""SQLite: one thread that writes and one that reads, each with its own connection.

A transaction hops to its thread once. The asynchronous drivers hop for every statement, which costs
several times the statement itself. A short transaction does not hop at all: it costs less than the
hop, and far less than two threads that take turns with the interpreter's lock at each step. What it
wrote is then flushed by a thread that does nothing else, for all who wait at the same time.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from interlock.errors import Refused, Unavailable
from interlock.storage.backend import T, Work
from interlock.storage.faults import driver_of, raised, unavailable
from interlock.storage.flush import Flush
from interlock.storage.thread import Worker

BUSY_SECONDS = 5.0
"""How long a transaction waits for another process that holds the file."""
HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
FOLD_EVERY = 250
"""Short transactions between two checkpoints."""
LONG_WAL = 2000
"""Pages of the WAL from which on a checkpoint also has it begin anew, which keeps writers out."""


class Sqlite:
    """One file, for its owner's eyes only; its folder must exist."""

    def __init__(self, file: str, *, durable: bool) -> None:
        _make_private(file)
        synchronous = "FULL" if durable else "NORMAL"
        self._quick = _Quick(file)
        self._flush = Flush(file) if durable else None
        self._folding: asyncio.Future[None] | None = None
        self._closing = False
        self._writer = _Lane(
            file,
            begin="BEGIN IMMEDIATE",
            pragmas=("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"),
        )
        self._reader = _Lane(file, begin="BEGIN", pragmas=("query_only=ON",))

    async def run(self, work: Work[T], *, alter: bool) -> T:
        """One transaction, alone: it holds the file's write lock from its first moment."""
        return await self._writer.do(self._writer.alter if alter else self._writer.transact, work)

    async def quick(self, work: Work[T], committed: Callable[[T], None], durable: bool) -> T:
        """In this very thread, unless the file is held or its WAL grows: then `run` waits."""
        if self._closing:
            raise Unavailable(f"database `{self._quick.file}` is closed")
        if self._quick.since_fold >= FOLD_EVERY and (self._folding is None or self._folding.done()):
            self._quick.since_fold = 0
            self._folding = asyncio.ensure_future(self._writer.fold())
        done, result = self._quick.transact(work)
        if not done:
            result = await self.run(work, alter=False)
            committed(result)
            return result
        committed(result)
        if self._flush is not None and durable:
            await self._flush()
        return result

    async def read(self, work: Work[T]) -> T:
        """One snapshot of what is committed (WAL), whatever the writer does meanwhile."""
        return await self._reader.do(self._reader.transact, work)

    async def glance(self, work: Work[T]) -> T:
        """In this very thread, unless the file is held: then `read` waits."""
        if not self._closing:
            done, result = self._quick.glance(work)
            if done:
                return result
        return await self.read(work)

    async def close(self) -> None:
        """After what is under way. The writer last: the last one to leave folds the WAL back."""
        if self._closing:
            return
        self._closing = True
        await self._reader.close()
        if self._flush is not None:
            await self._flush.close()
        if self._folding is not None:
            await asyncio.wait([self._folding])
        self._quick.discard()
        await self._writer.close()


class _Quick:
    """The connection for short transactions. It never waits: not for a lock, not for the disk.

    SQLAlchemy believes it to be in one transaction for ever: what it does at each beginning and end
    costs more than a short transaction itself (measured: 24 against 9 µs for an empty one).
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.since_fold = 0
        """Transactions since the last checkpoint began."""
        self._open: Connection | None = None
        pragmas = ("synchronous=NORMAL", "foreign_keys=ON", "wal_autocheckpoint=0")
        self._engine = _engine(file, None, pragmas, wait=0.0)

    def transact(self, work: Work[T]) -> tuple[bool, T]:
        """Whether it was done, and its result."""
        if self.since_fold >= FOLD_EVERY:
            nothing: Any = None
            return False, nothing
        done, result = self._at_once(work, "BEGIN IMMEDIATE")
        self.since_fold += done
        return done, result

    def glance(self, work: Work[T]) -> tuple[bool, T]:
        """The same for what only reads."""
        return self._at_once(work, "BEGIN")

    def _at_once(self, work: Work[T], begin: str) -> tuple[bool, T]:
        nothing: Any = None
        if self._open is None and not self._ready():
            return False, nothing
        assert self._open is not None
        try:
            return True, _alone(self._open, work, begin)
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in HELD:
                return False, nothing
            if fault := unavailable(error, self.file):
                self.discard()
                raise fault from error
            raise

    def _ready(self) -> bool:
        """Connect to a file whose writer has made it what it is; it tells better what is wrong."""
        try:
            self._open = self._engine.connect()
            self._open.begin()
            mode = self._open.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        except SQLAlchemyError:
            mode = "none"
        if mode == "wal":
            return True
        self.discard()
        return False

    def discard(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # it may be what failed
                connection.close()


class _Lane:
    """A thread with one connection. Only the methods `do` and `close` belong to other threads."""

    def __init__(self, file: str, *, begin: str, pragmas: tuple[str, ...]) -> None:
        self._file = file
        self._engine = _engine(file, begin, pragmas)
        self._thread = Worker(f"sqlite-{Path(file).stem}")
        self._open: Connection | None = None
        self.closed = False

    async def do(self, how: Callable[[Work[T]], T], work: Work[T]) -> T:
        """Run `work` there, in the way `how`."""
        if self.closed:
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

    async def fold(self) -> None:
        """Bring what the WAL holds into the file, and have a long WAL begin anew.

        What cannot be done now is done the next time, or by SQLite itself.
        """
        if not self.closed:
            await self._thread.do(self._fold)

    def _fold(self) -> None:
        with suppress(SQLAlchemyError, sqlite3.Error):
            driver = driver_of(self._connection())
            _, pages, _ = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > LONG_WAL:
                driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
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


def _alone(connection: Connection, work: Work[T], begin: str) -> T:
    """`work` as one transaction of the driver; errors are those that SQLAlchemy would raise."""
    driver = driver_of(connection)
    try:
        driver.execute(begin)
        try:
            result = work(connection)
            driver.commit()
        except BaseException:
            driver.rollback()
            raise
    except sqlite3.Error as error:
        raise raised("a short transaction", error) from error
    return result


def _make_private(file: str) -> None:
    """SQLite gives the files beside it the mode that it finds here.

    What cannot be made is for the first transaction to tell.
    """
    with suppress(OSError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _engine(
    file: str, begin: str | None, pragmas: tuple[str, ...], *, wait: float | None = None
) -> Engine:
    """`begin` opens each transaction; None leaves that to whoever has the driver's connection."""
    patience = BUSY_SECONDS if wait is None else wait
    engine = create_engine(
        URL.create("sqlite", database=file),
        poolclass=NullPool,
        connect_args={"isolation_level": None, "timeout": patience},
    )

    def connected(connection: Any, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    def begun(connection: Connection) -> None:
        assert begin is not None
        try:
            driver_of(connection).execute(begin)
        except sqlite3.Error as error:
            raise raised(begin, error) from error

    event.listen(engine, "connect", connected)
    if begin is not None:
        event.listen(engine, "begin", begun)
    return engine
