"""What a transaction costs: `python -m tests.bench.storage` prints JSON, µs of CPU each."""

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table

from interlock.storage import Database

TRANSACTIONS = 2000
ROWS = Table(
    "rows", MetaData(), Column("id", Integer, primary_key=True), Column("body", LargeBinary)
)
BODY = bytes(500)


def raw(file: Path) -> float:
    """The bare driver in the caller's thread: what cannot be saved."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")
    started = time.process_time()
    for _ in range(TRANSACTIONS):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows (body) VALUES (?)", (BODY,))
        connection.execute("COMMIT")
    spent = time.process_time() - started
    connection.close()
    return spent


async def ours(file: Path) -> tuple[float, float]:
    """One at a time: (writing, reading)."""
    database = Database(f"sqlite:///{file}")
    await database.run(ROWS.create)

    def write(connection: Connection) -> None:
        connection.execute(ROWS.insert(), {"body": BODY})

    def read(connection: Connection) -> object:
        return connection.execute(ROWS.select().where(ROWS.c.id == 1)).one()

    writing = await _spent(lambda: database.run(write))
    reading = await _spent(lambda: database.read(read))
    await database.close()
    return writing, reading


async def _spent(once: Callable[[], Awaitable[object]]) -> float:
    started = time.process_time()
    for _ in range(TRANSACTIONS):
        await once()
    return time.process_time() - started


def main() -> None:
    """Measure both in one run."""
    with tempfile.TemporaryDirectory() as folder:
        bare = raw(Path(folder) / "raw.db")
        writing, reading = uvloop.run(ours(Path(folder) / "ours.db"))
    each = 1e6 / TRANSACTIONS
    figures = {
        "raw_insert_us": round(bare * each, 1),
        "insert_us": round(writing * each, 1),
        "read_us": round(reading * each, 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
