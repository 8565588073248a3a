"""Whether migrations make the tables that the code believes in."""

from sqlalchemy import Connection, MetaData

from interlock.storage.database import Database
from interlock.storage.migrate import migrate, migrations_folder, revisions


async def assert_migrations_match(url: str, package: str, metadata: MetaData) -> None:
    """Migrate the empty database at `url` and compare it with `metadata`.

    Also holds the migrations to one line of history, numbered by their files' names.
    """
    database = Database(url, schema="migrations_match")
    try:
        await migrate(database, package)
        differences = await database.read(lambda connection: _differences(connection, metadata))
    finally:
        await database.close()
    assert not differences, f"the migrations of `{package}` miss {differences}"
    assert _history(package) == revisions(migrations_folder(package))


def _differences(connection: Connection, metadata: MetaData) -> object:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - slow to import
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - as above

    options = {"compare_type": True, "compare_server_default": True}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def _history(package: str) -> list[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    folder = migrations_folder(package)
    script = ScriptDirectory(folder, version_locations=[folder / "versions"])
    return [step.revision for step in script.walk_revisions()][::-1]
