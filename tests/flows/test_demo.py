"""`interlock demo`: what README.md promises, as a newcomer runs it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

STEPS = (
    *("up", "allowed", "denied", "retried", "unknown", "approved", "refused"),
    *("bus", "legacy", "git", "audit"),
)
COMMAND = (sys.executable, "-m", "interlock.cli", "demo")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with room for the path of a socket below it: 107 bytes in all."""
    with tempfile.TemporaryDirectory(prefix="d") as folder:
        yield Path(folder)


def played(folder: Path, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """The demo, with its folder below `folder`."""
    return subprocess.run(
        [*COMMAND, *options],
        env=os.environ | {"TMPDIR": str(folder)} | env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.promise("demo")
def test_every_step_of_the_demo_is_as_it_says(short_path: Path) -> None:
    ended = played(short_path, "--json")
    steps: dict[str, dict[str, Any]] = {
        step["step"]: step for step in map(json.loads, ended.stdout.splitlines())
    }
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tuple(steps) == STEPS
    assert all(step["ok"] for step in steps.values())
    ends = {name: [event["type"] for event in step["events"]][-1:] for name, step in steps.items()}
    assert ends["denied"] == ends["refused"] == ["task.denied"]
    assert ends["unknown"] == ["task.unknown"]
    for name in ("allowed", "retried", "approved", "bus", "legacy", "git"):
        assert ends[name] == ["task.succeeded"], name
        assert steps[name]["events"][-1]["attempts"], f"{name}: the end came without its facts"
    assert "crm:export" in str(steps["denied"]["said"])
    report = steps["audit"]["report"]
    assert (report["ok"], report["anchored"], report["unproven"]) == (True, True, 0)
    assert list(short_path.iterdir()) == [], "it leaves nothing behind"


def test_a_demo_that_cannot_begin_says_what_is_missing(short_path: Path) -> None:
    ended = played(short_path, PATH="/nowhere")
    assert ended.returncode == 2
    assert "`git`" in ended.stderr
    assert ended.stderr.count("\n") == 1
