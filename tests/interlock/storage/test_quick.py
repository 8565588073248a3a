"""Short transactions in the caller's thread keep every promise of those that hop."""

import asyncio
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError

from interlock.errors import Unavailable
from interlock.storage import Database
from interlock.storage.flush import Flush
from interlock.storage.sqlite import FOLD_EVERY
from tests.interlock.storage.tables import PEOPLE


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(PEOPLE.c.name).order_by(PEOPLE.c.name)).scalars())


def bob(connection: Connection) -> str:
    connection.execute(PEOPLE.insert(), {"name": "bob"})
    return threading.current_thread().name


async def made(file: Path, *, durable: bool = False) -> Database:
    database = Database(f"sqlite:///{file}", durable=durable)
    await database.run(lambda c: c.execute(text("CREATE TABLE words (word TEXT)")))
    return database


def word(connection: Connection) -> str:
    connection.execute(text("INSERT INTO words VALUES ('a')"))
    return threading.current_thread().name


async def test_what_was_done_quickly_can_be_read_and_is_told_once(database: Database) -> None:
    told: list[str] = []
    result = await database.quick(bob, told.append)
    assert told == [result]
    assert await database.read(names) == ["ada", "bob"]


async def test_an_error_rolls_back_and_passes_through(database: Database) -> None:
    def twice(connection: Connection) -> None:
        bob(connection)
        bob(connection)

    with pytest.raises(IntegrityError):
        await database.quick(twice)
    assert await database.read(names) == ["ada"]


async def test_a_file_is_written_in_the_caller_s_own_thread(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db")
    assert await database.quick(word) == threading.current_thread().name
    await database.close()


async def test_while_another_holds_the_file_the_loop_is_not_held_up(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db")
    await database.quick(word)
    other = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(database.quick(word))
    await asyncio.sleep(0)
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    assert await waiting == "sqlite-file"
    await database.close()


@pytest.mark.parametrize("durable", [True, False])
async def test_only_what_is_durable_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    flushed: list[str] = []
    real = os.fdatasync

    def fdatasync(handle: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    database = await made(tmp_path / "file.db", durable=durable)
    seen_before: list[int] = []
    await database.quick(word, lambda _: seen_before.append(len(flushed)))
    assert seen_before == [0]
    assert flushed == (["file.db-wal"] if durable else [])
    await database.close()


async def test_those_who_wait_at_the_same_time_share_a_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[int] = []
    real = os.fdatasync

    def fdatasync(handle: int) -> None:
        flushes.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    database = await made(tmp_path / "file.db", durable=True)
    await asyncio.gather(*(database.quick(word) for _ in range(50)))
    assert len(flushes) <= 2
    await database.close()


async def test_a_disk_that_does_not_flush_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await made(tmp_path / "file.db", durable=True)

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(Unavailable, match="input/output error"):
        await database.quick(word)
    monkeypatch.undo()
    await database.quick(word)
    await database.close()


async def test_the_log_of_writes_does_not_grow_without_bound(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db")
    wal = tmp_path / "file.db-wal"

    def much(connection: Connection) -> None:
        connection.execute(text("INSERT INTO words VALUES (zeroblob(40000))"))

    for _ in range(6 * FOLD_EVERY):
        await database.quick(much)
        await asyncio.sleep(0)
    assert wal.stat().st_size < 3 * FOLD_EVERY * 60_000
    await database.close()


async def test_a_closed_database_takes_nothing_quickly(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db")
    await database.close()
    with pytest.raises(Unavailable, match="is closed"):
        await database.quick(word)


async def test_closing_waits_for_all_that_wait_for_the_disk(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db", durable=True)
    first = asyncio.create_task(database.quick(word))
    await asyncio.sleep(0)
    second = asyncio.create_task(database.quick(word))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await database.close()
        assert {*await asyncio.gather(first, second)} == {threading.current_thread().name}


async def test_a_glance_sees_what_is_committed_and_needs_no_other_thread(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db")
    await database.quick(word)

    def look(connection: Connection) -> tuple[int, str]:
        found = connection.execute(text("SELECT count(*) FROM words")).scalar_one()
        return found, threading.current_thread().name

    assert await database.glance(look) == (1, threading.current_thread().name)
    await database.close()
    with pytest.raises(Unavailable):
        await database.glance(look)


async def test_a_glance_neither_waits_for_a_writer_nor_keeps_one_waiting(tmp_path: Path) -> None:
    database = await made(tmp_path / "file.db")
    await database.quick(word)
    other = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO words VALUES ('b')")
    count = text("SELECT count(*) FROM words")
    assert await database.glance(lambda c: c.execute(count).scalar_one()) == 1
    other.execute("COMMIT")
    other.close()
    assert await database.glance(lambda c: c.execute(count).scalar_one()) == 2
    await database.close()


async def test_a_wal_that_is_another_file_is_flushed_by_its_own_handle(tmp_path: Path) -> None:
    file = str(tmp_path / "file.db")
    wal = tmp_path / "file.db-wal"
    wal.write_bytes(b"one")
    flush = Flush(file)
    await flush()
    first = wal.stat().st_ino
    wal.rename(tmp_path / "old")
    wal.write_bytes(b"two")
    await flush()
    held = os.fstat(flush._handle or -1).st_ino
    assert held == wal.stat().st_ino != first
    await flush.close()
