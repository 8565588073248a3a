"""Bringing a database to the version that this code knows.

Migrations are `<package>/versions/NNNN_what.py`, one line of history: the number is the revision's
id, and each builds on the one before. So the newest is known from a listing, and a database that is
there already costs one query: alembic, slow to import, is needed only for work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from threading import Lock

import structlog
from sqlalchemy import Column, Connection, MetaData, String, Table, func, inspect, select, text
from sqlalchemy.schema import CreateSchema

from interlock.errors import Refused
from interlock.storage.database import Database
from interlock.storage.faults import Busy

log = structlog.get_logger()
VERSION = Table("alembic_version", MetaData(), Column("version_num", String))
ALEMBIC = Lock()
"""Alembic keeps what it works on in globals of its modules: one upgrade at a time in a process."""
PATIENCE = 60.0
"""Seconds that the upgrade by another process is waited for; SQLite lets nobody in meanwhile."""
LOOK_AGAIN = 0.1


async def migrate(database: Database, package: str) -> None:
    """Upgrade `database` to the newest revision in `package`, in one transaction.

    Any number of processes may start at once. Raises `Refused` where the database is of a newer
    version than this code.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE
    while True:
        try:
            return await _migrate(database, package)
        except Busy:
            if clock() > until:
                raise
        await asyncio.sleep(LOOK_AGAIN)


async def _migrate(database: Database, package: str) -> None:
    folder = migrations_folder(package)
    known = revisions(folder)
    service = package.split(".")[-2]
    was = await database.read(_current)
    _check(was, known, service)
    if was == known[-1]:
        return

    import alembic.script  # noqa: F401, PLC0415 0.3 s that others would wait for the file

    def upgrade(connection: Connection) -> None:
        _lock(connection, database.schema)
        _check(_current(connection), known, service)
        _upgrade(connection, folder)

    async with _alone():
        await database.alter(upgrade)
    log.info("database.migrated", service=service, was=was, now=known[-1])


def migrations_folder(package: str) -> Path:
    """Where the package's migrations are."""
    return Path(str(files(package).joinpath("versions"))).parent


def revisions(folder: Path) -> list[str]:
    """Ids of all migrations, oldest first."""
    found = sorted(path.name.partition("_")[0] for path in folder.glob("versions/[0-9]*_*.py"))
    if not found:
        raise Refused(f"there are no migrations in `{folder}`; the installation is incomplete")
    return found


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION.name):
        return None
    return connection.execute(select(VERSION.c.version_num)).scalar()


def _check(current: str | None, known: list[str], service: str) -> None:
    if current is not None and current not in known:
        raise Refused(
            f"database of service `{service}` is of a newer version `{current}`, this one knows "
            f"`{known[-1]}`; upgrade interlock, or restore a backup made by this version",
            code="newer_database",
        )


def _lock(connection: Connection, schema: str) -> None:
    """Keep other processes out until the commit. SQLite's transaction is a lock already."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"interlock.{schema}"))))
    if not connection.execute(text("SELECT to_regnamespace(:it)"), {"it": f'"{schema}"'}).scalar():
        connection.execute(CreateSchema(schema))
    connection.dialect.default_schema_name = schema  # it was not there at the first connection


def _upgrade(connection: Connection, folder: Path) -> None:
    from alembic.config import Config  # noqa: PLC0415 - 0.3 s that most starts save
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    script = ScriptDirectory(folder, version_locations=[folder / "versions"])
    steps = script._upgrade_revs  # as alembic's own `upgrade` command does
    with EnvironmentContext(Config(), script, fn=lambda now, _: steps("head", now)) as context:
        context.configure(connection=connection)
        context.run_migrations()


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """Waits without blocking the loop, on which another upgrade may have to go on."""
    while not ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110 - loops share it, an Event has one
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        ALEMBIC.release()
