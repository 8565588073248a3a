"""`interlock status`, once and again and again: for scripts, in a pipe, on a terminal."""

import json
import os
import pty
import subprocess
import sys

import pytest

from interlock.cli.status import COLUMNS
from interlock.contracts.topics import SERVICES
from interlock.errors import Refused
from interlock.runtime.supervisor import MOST, scaled
from tests.components.world import World
from tests.interlock.cli.conftest import Cli

WATCH = ("status", "--watch", "--every", "0.2s", "--looks", "2")


def test_watching_prints_a_line_of_json_a_look_with_rates_from_the_second(operator: Cli) -> None:
    first, second = (json.loads(line) for line in operator.ok(*WATCH, "--json").out.splitlines())
    assert first["at"] < second["at"]
    for look, known in ((first, False), (second, True)):
        assert [one["service"] for one in look["services"]] == [*SERVICES]
        assert all((one["rate"] is not None) == known for one in look["services"])
        assert all(len(one["replicas"]) == 1 for one in look["services"])


def test_the_rate_is_what_was_handled_between_two_looks(operator: Cli, agent: Cli) -> None:
    words = ("status", "--watch", "--json", "--every", "0.5s")
    watching = subprocess.Popen(
        [sys.executable, "-m", "interlock.cli", *operator.options, *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    try:
        json.loads(watching.stdout.readline())
        agent.ok("task", "submit", "crm", "search_opportunities", '{"query": "a"}', "--wait", "30s")
        for line in watching.stdout:
            rates = {one["service"]: one["rate"] for one in json.loads(line)["services"]}
            if rates["invocation"] or rates["policy"]:
                break
    finally:
        watching.terminate()
        watching.wait()
        watching.stdout.close()
    assert rates["invocation"] or rates["policy"]


def test_in_a_pipe_each_look_is_a_block(operator: Cli) -> None:
    blocks = operator.ok(*WATCH).out.split("\n\n")[:2]
    for block in blocks:
        time, head, *rows = block.splitlines()
        assert time.endswith("+00:00")
        assert head.split("\t") == [*COLUMNS]
        assert [row.split("\t")[:3] for row in rows] == [[one, "ready", "1/1"] for one in SERVICES]


def test_on_a_terminal_it_is_one_table_that_changes_in_place(governed: World) -> None:
    ours, theirs = pty.openpty()
    options = ("--url", governed.suite.url, "--data", str(governed.suite.data))
    watching = subprocess.Popen(
        [sys.executable, "-m", "interlock.cli", *options, *WATCH],
        stdout=theirs,
        env=os.environ | {"COLUMNS": "160", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # its other end was closed
        pass
    finally:
        os.close(ours)
    assert watching.wait() == 0
    assert shown.count(b"gateway") >= 2
    assert b"\x1b[1A" in shown, "the cursor goes up to draw over the last look"


def test_watching_nothing_goes_on_and_says_that_it_is_away(alone: Cli) -> None:
    looks = [json.loads(line) for line in alone.ok(*WATCH, "--json").out.splitlines()]
    assert {one["state"] for look in looks for one in look["services"]} == {"away"}


def test_a_scale_names_a_service_and_a_number() -> None:
    assert scaled(["policy=3", "audit=1"]) == {"policy": 3, "audit": 1}
    for bad, why in (
        ("tea=2", "no service `tea`"),
        ("policy", "write `policy=N`"),
        ("policy=0", "N from 1"),
        (f"policy={MOST + 1}", f"to {MOST}"),
        ("policy=²", "write `policy=N`"),
    ):
        with pytest.raises(Refused, match=why):
            scaled([bad])
