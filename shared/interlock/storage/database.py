"""A service's own database: whole transactions, on SQLite or PostgreSQL."""

from collections.abc import Callable

from sqlalchemy import URL, make_url, select
from sqlalchemy.exc import ArgumentError

from interlock.errors import Refused
from interlock.storage.backend import Backend, T, Work
from interlock.storage.sqlite import Sqlite

SUPPORTED = "`sqlite:///<file>` and `postgresql+asyncpg://<user>@<host>/<database>`"


def _nobody(_: object) -> None:
    """Nobody needs to know before the end."""


class Database:
    """One service's database; nothing is opened before the first use.

    On PostgreSQL a service lives in the schema `schema`, so that one database can hold them all;
    a SQLite file belongs to one service. `durable`: a commit survives a power cut also on SQLite.
    Raises `Refused` for a URL that cannot work.
    """

    def __init__(self, url: str, *, schema: str = "public", durable: bool = False) -> None:
        self.schema = schema
        self._backend = _backend(url, schema, durable)

    async def run(self, work: Work[T]) -> T:
        """Run `work` as one transaction, committed when this returns.

        A cancelled caller leaves no half: the transaction goes through or is rolled back as a
        whole. Raises `Unavailable` while the database is away, locked, full or read-only; what
        `work` raises, `IntegrityError` among it, passes through after the rollback.
        """
        return await self._backend.run(work, alter=False)

    async def quick(
        self, work: Work[T], committed: Callable[[T], None] = _nobody, *, durable: bool = True
    ) -> T:
        """`run` for a transaction that touches few rows: where that is cheaper, at once and in the
        caller's thread, so that nothing else in it proceeds meanwhile.

        `committed` is told the result as soon as everybody sees it, which may be before it would
        survive a power cut. Without `durable` that is not waited for, where it can be chosen.
        """
        return await self._backend.quick(work, committed, durable)

    async def read(self, work: Work[T]) -> T:
        """Run `work` as one read-only transaction, never in the way of `run`."""
        return await self._backend.read(work)

    async def glance(self, work: Work[T]) -> T:
        """`read` of few rows by an index: where that is cheaper, in the caller's own thread."""
        return await self._backend.glance(work)

    async def alter(self, work: Work[T]) -> T:
        """`run` for a migration: SQLite checks foreign keys at the end, not on the way."""
        return await self._backend.run(work, alter=True)

    async def check(self) -> None:
        """Raise `Unavailable` while the database does not answer."""
        await self.read(lambda connection: connection.execute(select(1)).scalar_one())

    async def close(self) -> None:
        """Finish what is under way and close. Later calls raise `Unavailable`."""
        await self._backend.close()


def _backend(url: str, schema: str, durable: bool) -> Backend:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise Refused(f"the database's URL cannot be read; supported are {SUPPORTED}") from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        if parsed.host or parsed.query or parsed.database in {None, "", ":memory:"}:
            raise Refused(f"database `{shown}` is not a plain file; supported are {SUPPORTED}")
        return Sqlite(str(parsed.database), durable=durable)
    if parsed.drivername in {"postgresql", "postgresql+asyncpg"}:
        return _postgres(parsed, schema)
    raise Refused(f"database `{shown}` is of a kind that is not supported; {SUPPORTED} are")


def _postgres(url: URL, schema: str) -> Backend:
    try:
        from interlock.storage.postgres import Postgres  # noqa: PLC0415 - an extra, slow to import

        return Postgres(url, schema)
    except ModuleNotFoundError as error:
        raise Refused(
            f"PostgreSQL needs the package `{error.name}`: install `interlock[postgres]`"
        ) from None
