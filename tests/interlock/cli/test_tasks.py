"""`interlock task`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.components.crm import SCOPE
from tests.components.world import World, permit
from tests.interlock.cli.conftest import Cli

SEARCH = ("task", "submit", "crm", "search_opportunities", '{"query": "contoso"}')
GRANT = ("task", "submit", "crm", "grant_discount", '{"opportunity_id": "opp-1", "percent": 5}')


@pytest.fixture
def approval_needed(governed: World) -> Iterator[None]:
    """The agent may use the CRM only with a person's approval."""
    permit(governed.suite, with_approval=(SCOPE,))
    yield
    permit(governed.suite, SCOPE)


def test_a_call_is_submitted_waited_for_and_shown(agent: Cli) -> None:
    ran = agent.ok(*SEARCH)
    assert "Plant monitoring" in ran.out
    assert "\x1b" not in ran.out
    outcome = agent.json(*SEARCH)
    assert outcome["state"] == "succeeded"
    assert agent.json("task", "show", outcome["id"])["result"] == outcome["result"]


def test_own_tasks_are_listed_newest_first(agent: Cli) -> None:
    tasks = [agent.json(*SEARCH)["id"] for _ in range(2)]
    listed = agent.json("task", "list", "--limit", "2")
    assert [one["id"] for one in listed] == tasks[::-1]
    assert tasks[1] in agent.ok("task", "list").out


def test_a_call_can_be_followed_from_its_beginning(agent: Cli) -> None:
    task = agent.json(*SEARCH)["id"]
    lines = agent.ok("task", "watch", task, "--json").out.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["task.started", "task.succeeded"]
    assert "task.succeeded" in agent.ok("task", "watch", task).out


def test_the_same_key_is_the_same_task(agent: Cli) -> None:
    first, second = (agent.json(*SEARCH, "--key", "cli-1")["id"] for _ in range(2))
    assert first == second
    other = agent("task", "submit", "crm", "search_opportunities", "{}", "--key", "cli-1")
    assert other.code == 1


def test_a_denied_call_is_exit_code_1_with_the_reason(agent: Cli, governed: World) -> None:
    permit(governed.suite)
    try:
        ran = agent(*SEARCH)
    finally:
        permit(governed.suite, SCOPE)
    assert ran.code == 1
    assert f"lacks permission `{SCOPE}`" in ran.out


def test_arguments_that_are_no_json_never_leave(agent: Cli) -> None:
    ran = agent("task", "submit", "crm", "search_opportunities", "{query}")
    assert ran.code == 2
    assert "no JSON" in ran.err


def test_arguments_that_the_tool_does_not_take_are_all_named(agent: Cli) -> None:
    ran = agent("task", "submit", "crm", "grant_discount", '{"percent": "x"}')
    assert ran.code == 1
    assert "percent" in ran.err
    assert "opportunity_id" in ran.err


def test_a_task_that_nobody_knows_is_exit_code_1(agent: Cli) -> None:
    assert "there is no task" in agent("task", "show", "nope").err
    assert agent("task", "watch", "nope").code == 1


@pytest.mark.usefixtures("approval_needed")
def test_a_held_call_is_listed_and_runs_once_approved(agent: Cli, operator: Cli) -> None:
    task = agent.json(*GRANT, "--wait", "0")["id"]
    held = {one["task"]["id"]: one for one in _held(operator, task)}
    assert json.loads(held[task]["arguments"]) == {"opportunity_id": "opp-1", "percent": 5}
    assert task in operator.ok("task", "held").out
    assert agent("task", "approve", task).code == 1, "nobody approves an own request"
    operator.ok("task", "approve", task, "--reason", "agreed")
    assert "task.approved" in agent.ok("task", "watch", task).out
    again = operator("task", "approve", task)
    assert again.code == 1, "an approval is for once"


@pytest.mark.usefixtures("approval_needed")
def test_a_held_call_that_is_refused_is_denied(agent: Cli, operator: Cli) -> None:
    task = agent.json(*GRANT, "--wait", "0")["id"]
    _held(operator, task)
    operator.ok("task", "refuse", task, "--reason", "too much")
    ran = agent("task", "watch", task)
    assert ran.code == 1
    assert "too much" in ran.out


@pytest.mark.usefixtures("approval_needed")
def test_a_held_call_is_cancelled(agent: Cli, operator: Cli) -> None:
    task = agent.json(*GRANT, "--wait", "0")["id"]
    _held(operator, task)
    agent.ok("task", "cancel", task)
    assert agent("task", "watch", task).code == 1
    assert agent.json("task", "show", task, code=1)["state"] == "cancelled"


def test_an_unknown_outcome_is_settled_once(agent: Cli, operator: Cli, governed: World) -> None:
    governed.crm.fail("grant_discount", "drop_after")
    unknown = agent.json(*GRANT, code=1)
    assert unknown["state"] == "unknown"
    settle = ("task", "settle", unknown["id"], "succeeded", "--reason", "seen in the CRM")
    assert agent(*settle).code == 1, "an agent may not"
    operator.ok(*settle)
    assert operator(*settle).code == 1, "it is settled"
    lines = agent("task", "watch", unknown["id"], "--json").out.splitlines()
    assert json.loads(lines[-1])["type"] == "task.settled"


def _held(operator: Cli, task: str) -> list[dict[str, Any]]:
    """What is held, once the task is."""
    for _ in range(200):
        found: list[dict[str, Any]] = operator.json("task", "held")
        if any(one["task"]["id"] == task for one in found):
            return found
    raise AssertionError("the task was not held")
