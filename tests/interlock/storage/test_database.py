"""Transactions: whole or not at all, and errors that say what is the matter."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, literal_column, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from interlock.errors import Refused, Unavailable
from interlock.storage import Database, insert_ignore, insert_or, migrate
from interlock.storage.statements import any_of
from tests.interlock.storage.tables import PACKAGE, PEOPLE, TEAMS

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


def add(name: str, **more: object) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(PEOPLE.insert(), {"name": name, **more})

    return work


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(PEOPLE.c.name).order_by(PEOPLE.c.name)).scalars())


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def test_what_was_run_can_be_read(database: Database) -> None:
    await database.run(add("bob"))
    assert await database.read(names) == ["ada", "bob"]


async def test_an_error_rolls_back_and_passes_through(database: Database) -> None:
    def half(connection: Connection) -> None:
        connection.execute(PEOPLE.insert(), {"name": "bob"})
        raise LookupError("not today")

    with pytest.raises(LookupError, match="not today"):
        await database.run(half)
    assert await database.read(names) == ["ada"]


async def test_a_broken_rule_is_no_outage(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await database.run(add("ada"))
    with pytest.raises(IntegrityError):
        await database.run(add("eve", team="nobody"))
    assert await database.read(names) == ["ada"]


async def test_a_statement_that_is_wrong_is_no_outage(database: Database) -> None:
    with pytest.raises(Exception, match="nowhere") as caught:
        await database.run(lambda c: c.execute(text("SELECT * FROM nowhere")))
    assert not isinstance(caught.value, Unavailable)
    await database.check()


async def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable, match=r"read-?only"):
        await database.read(add("bob"))
    await database.run(add("bob"))


async def test_a_long_query_holds_nobody_up(database: Database) -> None:
    """The query sees what was committed before it, and the writer goes on meanwhile."""
    loop, reading, wrote = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    ended = asyncio.Event()

    def slow(connection: Connection) -> tuple[list[str], bool]:
        before = names(connection)
        loop.call_soon_threadsafe(reading.set)
        return before, connection.dialect.name == "postgresql" or wrote.wait(10)

    async def read() -> tuple[list[str], bool]:
        try:
            return await database.read(slow)
        finally:
            ended.set()

    query = asyncio.create_task(read())
    await reading.wait()
    await database.run(add("bob"))
    wrote.set()
    assert await query == (["ada"], True)


async def test_side_by_side_transactions_all_count(database: Database) -> None:
    await database.run(lambda c: c.execute(PEOPLE.update().values(age=0)))

    def older(connection: Connection) -> None:
        connection.execute(PEOPLE.update().values(age=PEOPLE.c.age + 1))

    await asyncio.gather(*(database.run(older) for _ in range(40)))
    assert await database.read(lambda c: c.execute(select(PEOPLE.c.age)).scalar_one()) == 40


async def test_a_cancelled_caller_leaves_a_whole_transaction(database: Database) -> None:
    loop, inside = asyncio.get_running_loop(), asyncio.Event()

    def two(connection: Connection) -> None:
        connection.execute(PEOPLE.insert(), {"name": "bob"})
        loop.call_soon_threadsafe(inside.set)
        connection.execute(PEOPLE.insert(), {"name": "eve"})

    task = asyncio.create_task(database.run(two))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.run(lambda c: c.execute(TEAMS.insert(), {"name": "after", "about": "-"}))
    async with asyncio.timeout(5):
        while len(await database.read(names)) == 1:
            pass
    assert await database.read(names) == ["ada", "bob", "eve"]


async def test_closing_waits_for_what_is_under_way(database: Database, database_url: str) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> None:
        loop.call_soon_threadsafe(started.set)
        add("bob")(connection)

    task = asyncio.create_task(database.run(work))
    await started.wait()
    await database.close()
    await task
    with pytest.raises(Unavailable, match="is closed"):
        await database.run(names)
    with pytest.raises(Unavailable, match="is closed"):
        await database.check()
    other = Database(database_url, schema="people")
    assert await other.read(names) == ["ada", "bob"]
    await other.close()


async def test_rows_that_are_there_stay_or_are_updated(database: Database) -> None:
    await database.run(lambda c: c.execute(insert_ignore(PEOPLE), {"name": "ada", "age": 1}))
    await database.run(
        lambda c: c.execute(insert_ignore(PEOPLE), [{"name": "ada"}, {"name": "bob", "age": 2}])
    )
    older = {"age": func.coalesce(PEOPLE.c.age, 0) + literal_column("excluded.age")}
    upsert = insert_or(PEOPLE, ("name",), older).returning(PEOPLE.c.age)
    assert (
        await database.run(lambda c: c.execute(upsert, {"name": "ada", "age": 5}).scalar_one()) == 5
    )
    assert (
        await database.run(lambda c: c.execute(upsert, {"name": "ada", "age": 5}).scalar_one())
        == 10
    )


async def test_any_of_some_keys_is_found_by_their_index(database: Database) -> None:
    await database.run(lambda c: c.execute(PEOPLE.insert(), [{"name": "bob"}, {"name": "eve"}]))
    two = any_of((PEOPLE.c.name,), [("ada",), ("eve",), ("nobody",)])
    found = select(PEOPLE.c.name).where(two).order_by(PEOPLE.c.name)
    assert await database.read(lambda c: list(c.execute(found).scalars())) == ["ada", "eve"]


async def test_moments_and_json_come_back_as_they_were(database: Database) -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    notes = {"é": [1, 2.5, None, True]}
    await database.run(add("bob", seen_at=east, notes=notes))
    row = await database.read(
        lambda c: c.execute(select(PEOPLE).where(PEOPLE.c.seen_at <= NOON)).one()
    )
    assert (row.seen_at, row.seen_at.tzinfo, row.notes) == (NOON, UTC, notes)
    early = select(PEOPLE).where(PEOPLE.c.seen_at < NOON)
    assert await database.read(lambda c: c.execute(early).all()) == []


async def test_a_moment_without_a_zone_is_a_bug(database: Database) -> None:
    with pytest.raises(StatementError, match="needs a time zone"):
        await database.run(add("bob", seen_at=NOON.replace(tzinfo=None)))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root@localhost/interlock",
        "postgresql+psycopg://localhost/interlock",
        "sqlite://",
        "sqlite:///:memory:",
        "interlock.db",
        "",
    ],
)
def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="`sqlite:///<file>` and `postgresql"):
        Database(url)


def test_a_refusal_shows_no_password() -> None:
    with pytest.raises(Refused) as refused:
        Database("mysql://root:secret@localhost/interlock")
    assert "secret" not in refused.value.detail


async def test_services_share_a_postgres_and_see_only_their_own(postgres_url: str) -> None:
    mine, theirs = Database(postgres_url, schema="a"), Database(postgres_url, schema="b")
    for database in (mine, theirs):
        await database.run(lambda c, d=database: c.execute(text(f'CREATE SCHEMA "{d.schema}"')))  # type: ignore[misc]  # a default makes it untypable
        await database.run(lambda c: c.execute(text("CREATE TABLE words (word TEXT)")))
    await mine.run(lambda c: c.execute(text("INSERT INTO words VALUES ('mine')")))
    count = text("SELECT count(*) FROM words")
    assert await theirs.read(lambda c: c.execute(count).scalar_one()) == 0
    await mine.close()
    await theirs.close()


async def test_a_lost_connection_is_replaced_before_anybody_notices(postgres_url: str) -> None:
    database, other = Database(postgres_url), Database(postgres_url)
    await database.check()
    kill = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await other.run(lambda c: c.execute(kill))
    await database.check()
    await database.close()
    await other.close()


async def test_a_commit_lasts_even_where_the_server_is_set_to_forget(postgres_url: str) -> None:
    """The tests' server runs with `synchronous_commit=off`."""
    database = Database(postgres_url)
    asked = text(
        "SELECT current_setting('synchronous_commit'), setting FROM pg_settings"
        " WHERE name = 'fsync'"
    )
    try:
        (said,) = await database.read(lambda it: it.execute(asked).all())
    finally:
        await database.close()
    assert said == ("on", "off")


async def test_a_deadlock_is_tried_again(postgres_url: str) -> None:
    database = Database(postgres_url)
    await database.run(lambda c: c.execute(text("CREATE TABLE pairs (id INT PRIMARY KEY, n INT)")))
    await database.run(lambda c: c.execute(text("INSERT INTO pairs VALUES (1, 0), (2, 0)")))

    def in_order(*ids: int) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            for one in ids:
                connection.execute(text("UPDATE pairs SET n = n + 1 WHERE id = :id"), {"id": one})
                connection.execute(text("SELECT pg_sleep(0.05)"))

        return work

    await asyncio.gather(database.run(in_order(1, 2)), database.run(in_order(2, 1)))
    total = text("SELECT sum(n) FROM pairs")
    assert await database.read(lambda c: c.execute(total).scalar_one()) == 4
    await database.close()


async def test_a_postgres_that_is_away_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"postgresql://nobody@/nothing?host={tmp_path}")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await database.check()
    await database.close()


async def test_a_database_that_does_not_exist_is_unavailable(postgres_url: str) -> None:
    database = Database(postgres_url.replace("/interlock_test", "/interlock_gone"))
    with pytest.raises(Unavailable, match="does not exist"):
        await database.check()
    await database.close()


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/nowhere/file.db")
    with pytest.raises(Unavailable, match=r"nowhere/file\.db` cannot be used now: unable to open"):
        await database.run(names)
    await database.close()


async def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_bytes(b"no database" * 1000)
    database = Database(f"sqlite:///{tmp_path}/file.db")
    with pytest.raises(Unavailable, match=r"file\.db` is damaged: .* put a backup in its place"):
        await database.run(names)
    await database.close()


async def test_a_file_and_those_beside_it_are_for_their_owner_s_eyes_only(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/file.db")
    await migrate(database, PACKAGE)
    await database.run(names)
    assert modes(tmp_path) == dict.fromkeys(("file.db", "file.db-wal", "file.db-shm"), 0o600)
    await database.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("hello " * 1000)
    database = Database(f"sqlite:///{tmp_path}/file.db")
    with pytest.raises(Unavailable, match="file is not a database"):
        await database.run(names)
    await database.close()


async def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/file.db")
    await database.run(lambda c: c.execute(text("CREATE TABLE blobs (data BLOB)")))
    await database.run(lambda c: c.exec_driver_sql("PRAGMA max_page_count=20"))
    fill = text("INSERT INTO blobs VALUES (zeroblob(200000))")
    with pytest.raises(Unavailable, match="full"):
        await database.run(lambda c: c.execute(fill))
    await database.run(lambda c: c.execute(fill))  # the next connection has no such limit
    await database.close()


async def test_a_file_that_another_process_holds_is_unavailable_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.storage.sqlite.BUSY_SECONDS", 0.05)
    database = Database(f"sqlite:///{tmp_path}/file.db")
    await database.run(lambda c: c.execute(text("CREATE TABLE words (word TEXT)")))
    other = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        await database.run(lambda c: c.execute(text("INSERT INTO words VALUES ('a')")))
    other.execute("COMMIT")
    other.close()
    await database.run(lambda c: c.execute(text("INSERT INTO words VALUES ('a')")))
    await database.close()


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
async def test_durable_means_that_a_commit_is_on_the_disk(
    tmp_path: Path, durable: bool, level: int
) -> None:
    database = Database(f"sqlite:///{tmp_path}/file.db", durable=durable)
    ask = "PRAGMA synchronous"
    assert await database.run(lambda c: c.exec_driver_sql(ask).scalar_one()) == level
    await database.close()
