"""`interlock task input`, with a server that asks."""

from collections.abc import Iterator

import pytest

from tests.components.suite import upstream
from tests.components.world import World, register_server, world
from tests.interlock.cli.conftest import Cli

TOOL = "test_input_required_result_multi_round"
SUBMIT = ("task", "submit", "asking", TOOL, "{}", "--wait", "0")
ASKABLE = ("--capabilities", '{"elicitation": {}}')
NAME = """step1={"action": "accept", "content": {"name": "Ana = {a}"}}"""
COLOR = """step2={"action": "accept", "content": {"color": "blue"}}"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A suite with a server of tools that ask."""
    with (
        upstream("tests.conformance.everything") as url,
        world(tmp_path_factory.mktemp("asking")) as running,
    ):
        register_server(running.suite, url, "asking")
        yield running


@pytest.fixture
def caller(asking: World) -> Cli:
    return Cli(("--url", asking.suite.url, "--token", asking.key))


def test_a_task_is_shown_asking_and_goes_on_with_its_input(caller: Cli, asking: World) -> None:
    task = caller.json(*SUBMIT, *ASKABLE)["id"]
    _asking(caller, task, "step1")
    shown = caller.ok("task", "show", task)
    assert "input_required" in shown.out
    assert "What is your name?" in shown.out
    assert f"interlock task input {task} --round 0" in shown.err
    given = caller.ok("task", "input", task, NAME, "--round", "0")
    assert f"interlock task watch {task}" in given.err
    _asking(caller, task, "step2")
    late = caller("task", "input", task, NAME, "--round", "0")
    assert late.code == 1
    assert "asks in round `1`" in late.err
    wrong = caller("task", "input", task, NAME)
    assert wrong.code == 1
    assert "does not ask for `step1`; it asks for `step2`" in wrong.err
    operator = Cli(("--url", asking.suite.url, "--data", str(asking.suite.data)))
    assert "you have no task" in operator("task", "input", task, COLOR).err
    assert caller.json("task", "input", task, COLOR)["id"] == task
    caller.ok("task", "watch", task)
    assert "Ana = {a} likes blue." in caller.ok("task", "show", task).out
    over = caller("task", "input", task, COLOR)
    assert over.code == 1
    assert "asks for no input: it is `succeeded`" in over.err


def test_a_server_does_not_ask_for_what_was_not_declared(caller: Cli) -> None:
    ran = caller(*SUBMIT[:-1], "30s")
    assert ran.code == 1
    assert "did not declare" in ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["step1"], "no KEY=JSON"),
        (["step1=yes"], "no KEY=JSON"),
        (["step1={yes}"], "the response for `step1` is no JSON"),
        (["a={}", "a={}"], "`a` is there twice"),
    ],
)
def test_input_that_is_no_json_never_leaves(alone: Cli, words: list[str], told: str) -> None:
    ran = alone("task", "input", "any", *words)
    assert ran.code == 2
    assert told in " ".join(ran.err.replace("│", " ").split())


def _asking(caller: Cli, task: str, key: str) -> None:
    """Once the task asks for it."""
    for _ in range(200):
        if key in caller.json("task", "show", task).get("requests", {}):
            return
    raise AssertionError(f"the task does not ask for `{key}`")
