"""`interlock dead` on a suite that parked what was forged."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from interlock.bus import Keyring, Opening, Raw, open_bus
from interlock.contracts.topics import Topic
from interlock.testing.build import noon
from tests.components.suite import until
from tests.components.world import World
from tests.interlock.cli.conftest import Cli

TYPE = "interlock.made.up.v1"


def letter(n: int, topic: Topic = Topic.TASK_AUTHENTICATED, **more: str) -> Raw:
    claims = {"ce_id": f"evil-{n}", "ce_type": TYPE, "ce_subject": f"task-{n}", **more}
    return Raw(topic, claims, b"{}")


async def publish(url: str, messages: Sequence[Raw]) -> None:
    bus = open_bus(Opening(url, Keyring({}), noon))
    await bus.open()
    await bus.publish(messages)
    await bus.close()


@pytest.fixture
def letters(governed: World, operator: Cli) -> Iterator[list[dict[str, Any]]]:
    """Three of policy, and one that policy and invocation both parked."""
    messages = [letter(n) for n in range(3)]
    messages.append(letter(3, Topic.TASK_CONTROL, ce_type="interlock.other.v1", ce_tenant="acme"))
    asyncio.run(publish(governed.suite.bus_url, messages))
    until(lambda: len(operator.json("dead", "list")) == 5, "all are parked")
    yield operator.json("dead", "list")
    operator.ok("dead", "drop", "--all", "--yes")
    assert operator.json("dead", "list") == []


def ids(found: Sequence[dict[str, Any]]) -> list[str]:
    return [one["subject"] for one in found]


@pytest.mark.parametrize(
    ("filters", "subjects"),
    [
        (("--service", "policy"), {"task-0", "task-1", "task-2", "task-3"}),
        (("--service", "invocation"), {"task-3"}),
        (("--type", TYPE), {"task-0", "task-1", "task-2"}),
        (("--code", "internal"), set()),
        (("--code", "forged", "--topic", "task.control"), {"task-3"}),
        (("--topic", "task.authenticated.policy.dead"), {"task-0", "task-1", "task-2"}),
        (("--tenant", "acme"), {"task-3"}),
        (("--task", "task-1"), {"task-1"}),
        (("--older-than", "1h"), set()),
        (("--newer-than", "1h", "--task", "task-2"), {"task-2"}),
    ],
)
def test_filters_choose(
    operator: Cli, letters: object, filters: tuple[str, ...], subjects: set[str]
) -> None:
    assert {*ids(operator.json("dead", "list", *filters))} == subjects
    shown = operator.json("dead", "drop", *filters, "--dry-run")
    assert {*ids(shown)} == subjects


def test_a_long_list_is_cut_and_says_how_many_more_match(operator: Cli, letters: object) -> None:
    ran = operator.ok("dead", "list", "--service", "policy", "--limit", "3")
    assert len(ran.out.splitlines()) == 1 + 3
    assert "`1` more match" in ran.err


def test_pages_follow_each_other_without_a_gap(governed: World, letters: object) -> None:
    seen: list[str] = []
    path = "/policy/v1/dead?limit=1"
    while path:
        page = governed.suite.ask("GET", path)
        seen += ids(page["letters"])
        place = page["next"]
        path = (
            f"/policy/v1/dead?limit=1&after={place.replace(' ', '%20').replace('+', '%2B')}"
            if place
            else ""
        )
    assert sorted(seen) == ["task-0", "task-1", "task-2", "task-3"]


def test_one_is_dropped_by_its_id_without_a_question(
    operator: Cli, letters: list[dict[str, Any]]
) -> None:
    mine = next(one for one in letters if one["subject"] == "task-0")
    assert operator.ok("dead", "drop", mine["id"]).err == "dropped: `1` letters\n"
    gone = operator("dead", "drop", mine["id"], "--json")
    assert (gone.code, json.loads(gone.out)) == (1, {"dropped": [], "gone": [mine["id"]]})


def test_many_are_not_dropped_without_a_word_of_a_person(operator: Cli, letters: object) -> None:
    ran = operator("dead", "drop", "--service", "policy")
    assert ran.code == 2
    assert "say `--yes`" in ran.err
    assert len(operator.json("dead", "list")) == 5


def test_nothing_is_chosen_where_nothing_was_said(operator: Cli) -> None:
    for command in ("redrive", "drop"):
        ran = operator("dead", command)
        assert (ran.code, ran.out) == (2, "")
        assert "say `--all`" in ran.err


def test_what_is_forged_is_parked_again_when_it_is_redriven(
    operator: Cli, letters: list[dict[str, Any]]
) -> None:
    said = operator.json("dead", "redrive", "--task", "task-1")
    assert ids(said["redriven"]) == ["task-1"]
    until(lambda: len(operator.json("dead", "list", "--task", "task-1")) == 1, "it is back")
    assert operator.ok("dead", "show", "policy", said["redriven"][0]["id"]).out


def test_letters_of_other_tenants_are_neither_seen_nor_moved(
    governed: World, letters: list[dict[str, Any]]
) -> None:
    """What is forged proves no tenant: it is for whoever runs the suite alone."""
    made = governed.suite.ask("POST", "/auth/v1/tenants", {"name": "acme"})
    acme = Cli(("--url", governed.suite.url, "--token", made["key"]))
    assert acme.json("dead", "list") == []
    every = [one["id"] for one in letters if one["service"] == "policy"]
    for command in ("redrive", "drop"):
        said = governed.suite.ask("POST", f"/policy/v1/dead/{command}", {"ids": every}, made["key"])
        assert {*said["gone"]} == {*every}
    assert governed.suite.ask("GET", "/policy/v1/status")["dead"] == 4


def test_a_request_moves_a_bounded_number(governed: World) -> None:
    bodies: list[dict[str, list[str]]] = [{"ids": []}, {"ids": ["x"] * 201}, {}]
    for bad in bodies:
        with pytest.raises(RuntimeError, match="422"):
            governed.suite.ask("POST", "/policy/v1/dead/drop", bad)
