"""`interlock audit`."""

import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.components.suite import until
from tests.components.world import World
from tests.interlock.cli.conftest import Cli


@pytest.fixture(scope="module")
def recorded(governed: World) -> str:
    """A task whose end is in the ledger, behind a checkpoint."""
    agent = Cli(("--url", governed.suite.url, "--token", governed.key))
    operator = Cli(("--url", governed.suite.url, "--data", str(governed.suite.data)))
    task: str = agent.json("task", "submit", "crm", "search_opportunities", "{}")["id"]
    until(lambda: "task.succeeded" in operator("audit", "show", task).out, "it is recorded")
    until(lambda: operator.json("audit", "verify")["unproven"] == 0, "it is proven")
    return task


@pytest.fixture
def taken(governed: World, recorded: str, tmp_path: Path) -> Path:
    """A copy of the data folder's ledger, keys and anchor."""
    data = tmp_path / "copy"
    data.mkdir()
    for name in ("keys", "anchor"):
        shutil.copytree(governed.suite.data / name, data / name)
    with (
        closing(sqlite3.connect(governed.suite.data / "audit.db")) as source,
        closing(sqlite3.connect(data / "audit.db")) as target,
    ):
        source.backup(target)
    return data


def test_a_task_is_told_step_by_step(operator: Cli, recorded: str) -> None:
    lines = operator.ok("audit", "show", recorded).out.splitlines()
    steps = [line.split()[1:3] for line in lines if line[2:3] == ":"]
    assert steps == [
        ["gateway", "task.authenticated"],
        ["policy", "task.authorized"],
        ["invocation", "task.started"],
        ["invocation", "task.succeeded"],
    ]
    whole = operator.json("audit", "show", recorded)
    assert whole["records"][0]["body"]["arguments"] == "{}"


def test_records_are_found_by_what_they_are_about(operator: Cli, recorded: str) -> None:
    found = operator.json("audit", "list", "--task", recorded)
    assert {one["task"] for one in found} == {recorded}
    assert (
        len(operator.json("audit", "list", "--tool", "search_opportunities", "--limit", "2")) == 2
    )
    assert operator.json("audit", "list", "--agent", "nobody") == []
    assert operator("audit", "list", "--since", "yesterday").code == 1


def test_a_task_that_the_ledger_lacks_is_exit_code_1(operator: Cli) -> None:
    assert operator("audit", "show", "nope").code == 1


@pytest.mark.usefixtures("recorded")
def test_an_export_is_verified_with_the_anchor_and_without(
    operator: Cli, governed: World, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.jsonl.gz"
    operator.ok("audit", "export", str(file))
    without = operator.json("audit", "verify", str(file))
    assert (without["ok"], without["anchored"]) == (True, False)
    anchor = str(governed.suite.data / "anchor")
    anchored = operator.json("audit", "verify", str(file), "--anchor", anchor)
    assert (anchored["ok"], anchored["anchored"]) == (True, True)
    assert anchored["records"] >= 4
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(lines[:-1])))
    cut = operator("audit", "verify", str(file))
    assert cut.code == 1
    assert "DOES NOT HOLD" in cut.out


def test_the_data_folder_is_verified_though_nothing_runs(taken: Path) -> None:
    offline = Cli(("--url", "http://127.0.0.1:9", "--data", str(taken)))
    report = offline.json("audit", "verify")
    assert (report["ok"], report["anchored"], report["unproven"]) == (True, True, 0)
    assert offline.json("audit", "verify", "--no-anchor")["anchored"] is False


def test_an_edited_record_is_found(taken: Path, recorded: str) -> None:
    with closing(sqlite3.connect(taken / "audit.db")) as database, database:
        database.execute("UPDATE records SET kept = kept || 'x' WHERE subject = ?", (recorded,))
    ran = Cli(("--data", str(taken)))("audit", "verify")
    assert ran.code == 1
    assert "edited" in ran.out


def test_a_tail_that_was_cut_off_is_found_by_the_anchor_alone(taken: Path) -> None:
    """Whoever owns the database owns the checkpoints in it too, and cuts them along."""
    with closing(sqlite3.connect(taken / "audit.db")) as database, database:
        database.execute("DELETE FROM records WHERE seq > 1")
        database.execute("DELETE FROM checkpoints")
        database.execute(
            "UPDATE heads SET (seq, hash) = "
            "(SELECT seq, hash FROM records WHERE records.shard = heads.shard AND seq = 1)"
            " WHERE EXISTS (SELECT 1 FROM records WHERE records.shard = heads.shard)"
        )
    offline = Cli(("--data", str(taken)))
    assert "cut" in offline.json("audit", "verify", code=1)["faults"]
    without = json.loads(offline("audit", "verify", "--no-anchor", "--json").out)
    assert "cut" not in without["faults"]


def test_what_is_missing_is_named(taken: Path, tmp_path: Path) -> None:
    offline = Cli(("--data", str(taken)))
    assert "there is no file" in offline("audit", "verify", str(tmp_path / "none.gz")).err
    (taken / "keys" / "ledger.pub.json").unlink()
    ran = offline("audit", "verify")
    assert ran.code == 2
    assert "`--keys`" in ran.err
    assert Cli(("--data", str(tmp_path)))("audit", "verify").code == 2
