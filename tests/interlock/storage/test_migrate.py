"""Migrations: to the newest, once, whoever starts at the same time, and never from the future."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, text

from interlock.errors import Refused
from interlock.storage import Database, migrate
from interlock.testing.migrations import assert_migrations_match
from tests.components.running import Ran, program, ran
from tests.interlock.storage.tables import METADATA, PACKAGE, PEOPLE, TEAMS

STARTING = "tests.interlock.storage.starting"


@asynccontextmanager
async def opened(url: str, schema: str = "people") -> AsyncIterator[Database]:
    database = Database(url, schema=schema)
    try:
        yield database
    finally:
        await database.close()


async def test_migrations_make_what_the_metadata_says(database_url: str) -> None:
    await assert_migrations_match(database_url, PACKAGE, METADATA)


async def test_a_missing_migration_is_found(database_url: str) -> None:
    TEAMS.to_metadata(METADATA, name="forgotten")
    try:
        with pytest.raises(AssertionError, match="forgotten"):
            await assert_migrations_match(database_url, PACKAGE, METADATA)
    finally:
        METADATA.remove(METADATA.tables["forgotten"])


async def test_altering_a_table_keeps_the_rows_that_refer_to_it(database: Database) -> None:
    rows = await database.read(lambda c: c.execute(select(PEOPLE.c.name, PEOPLE.c.team)).all())
    assert rows == [("ada", "sales")]


async def test_foreign_keys_hold_after_a_migration(database: Database) -> None:
    await database.run(lambda c: c.execute(TEAMS.delete()))
    assert await database.read(lambda c: c.execute(select(PEOPLE.c.name)).all()) == []


async def test_a_second_start_changes_nothing(database: Database) -> None:
    await database.run(lambda c: c.execute(TEAMS.insert(), {"name": "legal", "about": "-"}))
    await migrate(database, PACKAGE)
    assert len(await database.read(lambda c: c.execute(select(TEAMS)).all())) == 2


async def test_processes_that_start_at_once_migrate_once(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = [program(STARTING, database_url, log=log) for _ in range(4)]
    ended = [await asyncio.to_thread(one.wait, 60) for one in started]
    assert ended == [0] * 4, log.read_text()
    again = await asyncio.to_thread(ran, STARTING, database_url, "without-alembic", cold=True)
    assert again == Ran(0, "", "")


async def test_services_of_one_process_migrate_side_by_side(
    postgres_url: str, tmp_path: Path
) -> None:
    urls = [postgres_url, postgres_url, f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"]
    databases = [Database(url, schema=f"service-{n}") for n, url in enumerate(urls)]
    await asyncio.gather(*(migrate(database, PACKAGE) for database in databases))
    for database in databases:
        assert await database.read(lambda c: c.execute(select(TEAMS.c.name)).all()) == [("sales",)]
        await database.close()


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    newer = text("UPDATE alembic_version SET version_num = '0815'")
    await database.run(lambda c: c.execute(newer))
    with pytest.raises(
        Refused, match=r"newer version `0815`.*`0002`; upgrade interlock"
    ) as refused:
        await migrate(database, PACKAGE)
    assert refused.value.code == "newer_database"


async def test_a_failed_migration_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    versions = tmp_path / "broken" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_half.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision, down_revision = '0001', None\n"
        "def upgrade():\n    op.create_table('half', sa.Column('a', sa.Integer))\n    1 / 0\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        async with opened(database_url) as database:
            with pytest.raises(ZeroDivisionError):
                await migrate(database, "broken.migrations")
            await migrate(database, PACKAGE)
            with pytest.raises(Exception, match="half"):
                await database.read(lambda c: c.execute(text("SELECT * FROM half")))
    finally:
        sys.path.remove(str(tmp_path))
