"""A ledger that somebody changed: `interlock audit verify` finds it, offline."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from interlock.ledger import Entry, link
from tests.components.crm import REPEATABLE, SERVER, arguments
from tests.components.running import ran
from tests.components.suite import until
from tests.components.world import World, world

CALLS = 12
Tamper = Callable[[sqlite3.Connection], None]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a suite that worked and was stopped."""
    folder = tmp_path_factory.mktemp("kept")
    with world(folder) as here:
        for n in range(CALLS):
            call(here, n)
        until(lambda: whole(here), "the ledger has everything")
    return folder / "data"


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    """A data folder to tamper with."""
    for name in ("audit.db", "anchor", "keys"):
        source, target = kept / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return tmp_path


def call(here: World, n: int) -> None:
    body = {"server": SERVER, "tool": REPEATABLE, "arguments": arguments(REPEATABLE, n)}
    assert here.suite.ask("POST", "/v1/tasks", body, here.key)["state"] == "succeeded"


def whole(here: World) -> bool:
    report = here.suite.ask("POST", "/audit/v1/verify", {})
    tasks = report["tasks"]
    return bool(tasks["ended"] >= CALLS + 1 and not tasks["open"] and not report["late_causes"])


def verify(data: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """`interlock audit verify --json`: its exit code and its report."""
    ended = ran("interlock.cli", "--data", str(data), "audit", "verify", "--json", *more)
    assert ended.code in {0, 1}, ended.err
    return ended.code, json.loads(ended.out)


def edit_a_body(database: sqlite3.Connection) -> None:
    database.execute(
        "UPDATE records SET kept = CAST(replace(CAST(kept AS TEXT), 'fleet', 'fleeT') AS BLOB) "
        "WHERE rowid = (SELECT rowid FROM records WHERE instr(kept, 'fleet') LIMIT 1)"
    )


def fullest(database: sqlite3.Connection) -> int:
    """The shard with the most records: which one a task falls into is chance."""
    statement = "SELECT shard FROM records GROUP BY shard ORDER BY count(*) DESC LIMIT 1"
    found: int = database.execute(statement).fetchone()[0]
    return found


def edit_a_column(database: sqlite3.Connection) -> None:
    shard = fullest(database)
    database.execute("UPDATE records SET tenant = 'other' WHERE seq = 3 AND shard = ?", (shard,))


def cut_out(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM records WHERE seq = 4 AND shard = ?", (fullest(database),))


def reorder(database: sqlite3.Connection) -> None:
    shard = fullest(database)
    for old, new in ((3, -1), (4, 3), (-1, 4)):
        change = "UPDATE records SET seq = ? WHERE seq = ? AND shard = ?"
        database.execute(change, (new, old, shard))


def cut_the_tail(database: sqlite3.Connection) -> None:
    """With the heads and the copies of checkpoints, so that the rest holds together."""
    shard = fullest(database)
    database.execute("DELETE FROM records WHERE shard = ? AND seq > 5", (shard,))
    database.execute(
        "UPDATE heads SET seq = 5, hash = (SELECT hash FROM records WHERE shard = :it AND seq = 5) "
        "WHERE shard = :it",
        {"it": shard},
    )
    database.execute("DELETE FROM checkpoints")


def rewrite(database: sqlite3.Connection) -> None:
    """Change a record and compute every hash behind it anew."""
    shard = fullest(database)
    columns = "event_id, tenant, subject, arrived_at, kept, fault, reason"
    rows = database.execute(
        f"SELECT seq, previous, {columns} FROM records WHERE shard = ? ORDER BY seq", (shard,)
    ).fetchall()
    previous = rows[0][1]
    for seq, _, *fields in rows:
        fields[1] = "other" if seq == 2 else fields[1]
        hash_ = link(previous, shard, seq, Entry(*fields))
        database.execute(
            "UPDATE records SET previous = ?, hash = ?, tenant = ? WHERE shard = ? AND seq = ?",
            (previous, hash_, fields[1], shard, seq),
        )
        previous = hash_
    database.execute("UPDATE heads SET hash = ? WHERE shard = ?", (previous, shard))
    database.execute("DELETE FROM checkpoints")


FOUND = [
    (edit_a_body, {"edited"}),
    (edit_a_column, {"edited"}),
    (cut_out, {"missing"}),
    (reorder, {"edited", "unchained"}),
    (cut_the_tail, {"cut"}),
    (rewrite, {"rewritten"}),
]
ONLY_WITH_ANCHOR = {cut_the_tail, rewrite}


def test_a_ledger_that_nobody_touched_holds(copy: Path) -> None:
    code, report = verify(copy)
    assert (code, report["faults"]) == (0, {})
    assert report["anchored"]
    assert report["unproven"] == 0


@pytest.mark.promise("tamper-evident")
@pytest.mark.parametrize(("tamper", "faults"), FOUND, ids=[one[0].__name__ for one in FOUND])
def test_a_tampered_ledger_is_found(copy: Path, tamper: Tamper, faults: set[str]) -> None:
    with closing(sqlite3.connect(copy / "audit.db")) as database:
        tamper(database)
        assert database.total_changes > 0
        database.commit()
    code, report = verify(copy)
    assert code == 1
    assert report["faults"].keys() >= faults, report["findings"]
    if tamper not in ONLY_WITH_ANCHOR:
        assert verify(copy, "--no-anchor")[0] == 1
