"""`interlock --help`, `up`, `status`."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from tests.components.suite import Suite, until
from tests.components.world import World, world
from tests.interlock.cli.conftest import Cli

SLOW = (
    "aiohttp",
    "sqlalchemy",
    "cryptography",
    "pydantic",
    "rich.console",
    "cedarpy",
    "faststream",
)


def test_help_imports_nothing_that_is_slow() -> None:
    """What `--help` takes is what it imports; a time would measure the machine."""
    program = "import sys, interlock.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {*SLOW} & {*loaded}
    assert not [name for name in loaded if name.partition(".")[0] == "services"]


def test_help_names_every_command(alone: Cli) -> None:
    told = alone.ok("--help").out
    for command in ("up", "run", "demo", "status", "server", "agent", "key", "task", "audit"):
        assert f" {command} " in told


def test_the_version_is_that_of_the_package(alone: Cli) -> None:
    assert alone.ok("--version").out == f"{version('interlock')}\n"


def test_status_shows_every_service(operator: Cli) -> None:
    found = operator.json("status")
    assert [one["service"] for one in found] == [
        *("gateway", "auth", "registry", "policy", "invocation", "audit")
    ]
    assert all({"waiting", "oldest_seconds", "in_flight", "dead"} <= one.keys() for one in found)
    table = operator.ok("status").out.splitlines()
    assert table[0].split("\t")[:2] == ["service", "state"]
    assert [line.split("\t")[1] for line in table[1:]] == ["ready"] * 6


def test_status_of_nothing_is_exit_code_2_and_says_what_to_do(alone: Cli) -> None:
    ran = alone("status")
    assert ran.code == 2
    assert "start it with `interlock up`" in ran.err


def test_a_command_without_a_suite_is_one_line_and_exit_code_2(alone: Cli) -> None:
    ran = alone("server", "list")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("interlock: cannot reach Interlock at `http://127.0.0.1:9`")
    assert ran.err.count("\n") == 1


def test_a_command_without_a_token_says_where_it_looked(tmp_path: Path) -> None:
    ran = Cli(("--data", str(tmp_path)))("server", "list")
    assert ran.code == 2
    assert str(tmp_path / "operator.key") in ran.err


def test_a_bad_token_is_exit_code_1(governed: World) -> None:
    ran = Cli(("--url", governed.suite.url, "--token", "ilk_no_no"))("server", "list")
    assert ran.code == 1
    assert ran.err.startswith("interlock: ")


def test_what_a_caller_may_not_do_is_said_and_exit_code_1(agent: Cli) -> None:
    ran = agent("status")
    assert ran.code == 1
    assert "status:read" in ran.out


def test_up_says_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "data", cold=True).start()
    suite.process.terminate()
    assert suite.process.wait(timeout=40) == 0
    said = suite.log.read_text("utf-8")
    assert f"interlock is up at {suite.url}" in said
    assert str(suite.data / "operator.key") in said


def test_an_unknown_service_cannot_run(alone: Cli) -> None:
    ran = alone("run", "tea")
    assert ran.code == 2
    assert "there is no service `tea`; there are `audit`" in ran.err


@pytest.mark.chaos
def test_a_separate_service_that_is_killed_comes_back(tmp_path: Path) -> None:
    with world(tmp_path, "--separate") as here:
        first = here.suite.pid("invocation")
        assert first is not None
        operator = Cli(("--url", here.suite.url, "--data", str(here.suite.data)))
        agent = Cli(("--url", here.suite.url, "--token", here.key))
        killed = psutil.Process(first)
        killed.kill()
        killed.wait(timeout=10)
        outcome = agent.json("task", "submit", "crm", "search_opportunities", '{"query": "a"}')
        assert outcome["state"] == "succeeded"
        assert here.suite.pid("invocation") not in {None, first}
        until(lambda: operator("status").code == 0, "all are ready", here.suite.process)
