"""Three processes of each service at once, behind one edge: one effect each, whoever dies."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from interlock.contracts.topics import SERVICES
from interlock.runtime.replicas import TIME_TO_LIVE
from tests.chaos.load import load_on
from tests.chaos.scale import FULL, MARKS, scaled
from tests.chaos.truth import faults_of, read_ledger, states
from tests.components.buses import BUSES, bus_of_its_own
from tests.components.crm import NOT_REPEATABLE, REPEATABLE, SCOPE, SERVER, arguments
from tests.components.running import program
from tests.components.suite import until
from tests.components.world import World, permit, world

pytestmark = [*MARKS[:2], pytest.mark.timeout(400)]
EACH = 3
TASKS = scaled(90, 1000)
STUCK = 6
SCALE = tuple(word for name in SERVICES for word in ("--scale", f"{name}={EACH}"))
ENVIRONMENT = {"INTERLOCK_GATEWAY_GRACE_SECONDS": "1"}


@pytest.fixture(scope="module", params=BUSES if FULL else BUSES[:1])
def crowd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """On each transport: eighteen processes, so on one only where it is not played in full."""
    with (
        bus_of_its_own(request.param, request) as env,
        world(tmp_path_factory.mktemp("crowd"), *SCALE, env={**ENVIRONMENT, **env}) as here,
    ):
        yield here


def replicas(here: World, service: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = here.suite.ask("GET", f"/{service}/v1/status")["replicas"]
    return told


def submit(here: World, number: int, deadline: float) -> list[str]:
    body = {"server": SERVER, "tool": NOT_REPEATABLE, "deadline_seconds": deadline}
    return [
        here.suite.ask(
            "POST",
            "/v1/tasks",
            body | {"arguments": arguments(NOT_REPEATABLE, n)},
            here.key,
            wait=0,
        )["id"]
        for n in range(number)
    ]


def holding(here: World) -> list[str]:
    """Tasks that wait for a person; each process of policy hears of the new rule in its time."""
    held: list[str] = []
    while len(held) < STUCK:
        (task,) = submit(here, 1, 3.0)
        until(partial(decided, here, task), "it is decided")
        held += [task] if state(here, task)[0] == "held" else []
    return held


def decided(here: World, task: str) -> bool:
    return state(here, task)[0] not in {"accepting", "submitted"}


def state(here: World, task: str) -> tuple[str, str]:
    told = here.suite.ask("GET", f"/v1/tasks/{task}", None, here.key, wait=0)
    return told["state"], told.get("code", "")


def records(here: World, type_: str) -> int:
    return len(here.suite.ask("GET", f"/audit/v1/records?type={type_}&limit=1000")["records"])


def ends_of(here: World, tasks: list[str], path: Path) -> list[list[str]]:
    """What the ledger has as the ends of each, once it is whole."""
    until(lambda: not read_ledger(here.suite, path).report.open_count, "the ledger is whole")
    ledger = read_ledger(here.suite, path)
    assert ledger.report.ok, ledger.report.text()
    return [ledger.ends[task] for task in tasks]


@pytest.mark.parametrize("service", SERVICES)
def test_each_process_is_known_for_what_it_is(crowd: World, service: str) -> None:
    there = replicas(crowd, service)
    assert [one["ready"] for one in there] == [True] * EACH
    assert {one["pid"] for one in there} == set(crowd.suite.pids(service))


def test_a_key_counts_and_ends_at_every_process_of_the_door(crowd: World) -> None:
    made = crowd.suite.ask("POST", "/auth/v1/keys", {"agent": "copilot"})

    def taken() -> int:
        """At how many of the next requests, which go to each in turn."""
        good = 0
        for _ in range(2 * EACH):
            try:
                crowd.suite.ask("GET", "/v1/tasks?limit=1", None, made["key"])
                good += 1
            except RuntimeError as error:
                assert "401" in str(error)
        return good

    assert taken() == 2 * EACH
    crowd.suite.ask("DELETE", f"/auth/v1/keys/{made['key_id']}")
    until(lambda: taken() == 0, "it is refused everywhere", within=5)


def test_a_held_task_lapses_once(crowd: World, tmp_path: Path) -> None:
    """Three sweepers of policy look for it."""
    permit(crowd.suite, with_approval=(SCOPE,))
    try:
        held = holding(crowd)
        until(lambda: {state(crowd, one)[0] for one in held} == {"denied"}, "all have lapsed")
        assert {state(crowd, one)[1] for one in held} == {"lapsed"}
        assert ends_of(crowd, held, tmp_path / "export") == [["interlock.task.denied.v1"]] * STUCK
    finally:
        permit(crowd.suite, SCOPE)


def test_a_task_that_is_stuck_past_its_deadline_ends_once(crowd: World, tmp_path: Path) -> None:
    """All of policy stands still; three doors ask for the end, and then three judge at once."""
    standing = crowd.suite.pids("policy")
    for pid in standing:
        os.kill(pid, signal.SIGSTOP)
    try:
        stuck = submit(crowd, STUCK, 0.5)
        asked = "interlock.task.deadline_passed.v1"
        until(lambda: records(crowd, asked) >= STUCK, "the doors have asked for their ends")
    finally:
        for pid in standing:
            os.kill(pid, signal.SIGCONT)
    until(lambda: {state(crowd, one)[0] for one in stuck} == {"failed"}, "all have ended")
    assert {state(crowd, one)[1] for one in stuck} == {"expired"}
    assert ends_of(crowd, stuck, tmp_path / "export") == [["interlock.task.failed.v1"]] * STUCK


def test_another_process_joins_the_suite_and_one_that_is_killed_leaves_no_ghost(
    crowd: World, tmp_path: Path
) -> None:
    words = ("--data", str(crowd.suite.data), "run", "policy", "--port", "0")
    joined = program("interlock.cli", *words, env=crowd.suite.env, log=tmp_path / "log")
    try:
        until(
            lambda: joined.pid in {one["pid"] for one in replicas(crowd, "policy")},
            "it is one of them",
            joined,
            tmp_path / "log",
        )
        assert len(replicas(crowd, "policy")) == EACH + 1
    finally:
        joined.kill()
        joined.wait()
    until(
        lambda: joined.pid not in {one["pid"] for one in replicas(crowd, "policy")},
        "it is forgotten",
        within=TIME_TO_LIVE + 10,
    )
    assert len(replicas(crowd, "policy")) == EACH


@pytest.mark.promise("scaled")
async def test_one_of_three_is_killed_of_each_service_and_the_rest_take_over(
    crowd: World, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for tool in (REPEATABLE, NOT_REPEATABLE):
        crowd.crm.fail(tool, "delay", seconds=0.1, times=TASKS)
    async with load_on(crowd, "crowd") as load:
        work = asyncio.create_task(load.run(TASKS))
        for n, service in enumerate(SERVICES, 1):
            await load.accepted(n * TASKS // (len(SERVICES) + 2))
            victim = psutil.Process(crowd.suite.pids(service)[0])
            victim.kill()
            await asyncio.to_thread(victim.wait, 10)
        await work
        ended = await load.ended()
    assert len(load.asked) == TASKS
    assert not await faults_of(crowd, load.asked, ended, tmp_path / "export")
    record_property("ended", states(ended))


def test_those_that_were_killed_are_there_again(crowd: World) -> None:
    for service in SERVICES:
        until(partial(whole, crowd, service), f"`{service}` is whole again, and has no ghost")


def whole(here: World, service: str) -> bool:
    """Exactly the processes that run are known, and there are as many as there should be."""
    known = sorted(one["pid"] for one in replicas(here, service) if one["ready"])
    return known == sorted(here.suite.pids(service)) and len(known) == EACH
