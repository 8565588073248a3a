"""Dead letters of a real mistake: a service has a wrong public key, and parks what it gets."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from interlock.identity.keys import new_key
from interlock.sdk import BusAgent, Submission
from tests.chaos.truth import read_ledger
from tests.components.buses import BUSES, bus_of_its_own
from tests.components.crm import NOT_REPEATABLE, SERVER, arguments
from tests.components.suite import until
from tests.components.world import World, world
from tests.interlock.cli.conftest import Cli

MANY = {"redis": 500, "kafka": 60, "sqs": 60}
DEADLINE = 1.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Parked:
    """A suite whose invocation parked every grant, because it had a wrong key of policy's."""

    world: World
    many: tuple[str, ...]
    late: str
    """A task whose deadline ended meanwhile."""
    cancelled: str
    """One that its caller gave up meanwhile."""

    def state(self, task: str) -> str:
        return state_of(self.world, task)

    @property
    def operator(self) -> Cli:
        suite = self.world.suite
        return Cli(("--url", suite.url, "--data", str(suite.data)))


@pytest.fixture(scope="module", params=BUSES)
def parked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parked]:
    """On each transport."""
    folder = tmp_path_factory.mktemp("letters")
    with (
        bus_of_its_own(request.param, request) as env,
        world(folder, env={"INTERLOCK_GATEWAY_GRACE_SECONDS": "1", **env}) as here,
    ):
        public = here.suite.data / "keys" / "policy.pub.json"
        right = public.read_bytes()
        restart(here, public, json.dumps({k: v for k, v in new_key().items() if k != "d"}).encode())
        late = parked_late(here)
        cancelled = submit(here)
        until(lambda: dead(here) == 2, "both are parked", here.suite.process)
        here.suite.ask("DELETE", f"/v1/tasks/{cancelled}", None, here.key)
        many = tuple(asyncio.run(published(here, MANY[request.param])))
        found = Parked(here, many, late, cancelled)
        until(lambda: dead(here) == len(many) + 2, "all are parked", here.suite.process)
        until(lambda: found.state(late) == "failed", "the deadline ended it", here.suite.process)
        restart(here, public, right)
        yield found


def restart(here: World, public: Path, key: bytes) -> None:
    here.suite.stop()
    public.write_bytes(key)
    here.suite.start()


def state_of(here: World, task: str) -> str:
    path = f"/v1/tasks/{task}"
    told: dict[str, Any] = here.suite.ask("GET", path, None, here.key, wait=0)
    return str(told["state"])


def parked_late(here: World) -> str:
    """A task that was parked before its deadline ended it: on a slow machine not the first."""
    deadline = DEADLINE
    while True:
        task = submit(here, deadline_seconds=deadline)
        over = partial(state_of, here, task)
        until(lambda over=over: dead(here) == 1 or over() == "failed", "it is parked, or too late")  # type: ignore[misc]  # mypy cannot infer a default
        if dead(here) == 1:
            return task
        deadline *= 2


def submit(here: World, **more: Any) -> str:
    body = {"server": SERVER, "tool": NOT_REPEATABLE, "arguments": arguments(NOT_REPEATABLE, 1)}
    told = here.suite.ask("POST", "/v1/tasks", body | more, here.key, wait=0)
    return str(told["id"])


async def published(here: World, many: int) -> list[str]:
    calls = [
        Submission(f"letter-{n}", SERVER, NOT_REPEATABLE, arguments(NOT_REPEATABLE, n))
        for n in range(many)
    ]
    suite = here.suite
    async with BusAgent(suite.bus_url, here.bus_key, prefix=suite.prefix) as agent:
        return [str(task) for task in await agent.submit(calls)]


def dead(here: World) -> int:
    return int(here.suite.ask("GET", "/invocation/v1/status")["dead"])


def test_a_dry_run_shows_what_would_be_moved_and_moves_nothing(parked: Parked) -> None:
    ran = parked.operator.json("dead", "redrive", "--task", parked.late, "--dry-run")
    assert [(one["service"], one["subject"], one["code"]) for one in ran] == [
        ("invocation", parked.late, "forged")
    ]
    everything = parked.operator.json("dead", "drop", "--all", "--dry-run")
    assert {one["subject"] for one in everything} == {*parked.many, parked.late, parked.cancelled}
    assert dead(parked.world) == len(parked.many) + 2


@pytest.mark.promise("redriven")
def test_hundreds_of_letters_are_redriven_in_bulk_and_each_is_executed_once(
    parked: Parked, tmp_path: Path
) -> None:
    """Those whose authority ended them meanwhile end as they had, and nothing is executed."""
    told = parked.operator.json("dead", "redrive", "--service", "invocation", "--code", "forged")
    assert (len(told["redriven"]), told["gone"]) == (len(parked.many) + 2, [])
    suite = parked.world.suite
    until(
        lambda: all(parked.state(task) == "succeeded" for task in parked.many),
        "all have succeeded",
        suite.process,
    )
    assert parked.state(parked.late) == "failed"
    until(lambda: parked.state(parked.cancelled) == "cancelled", "it ended", suite.process)
    calls = parked.world.crm.calls()
    assert {calls[task] for task in parked.many} == {1}
    assert (calls[parked.late], calls[parked.cancelled]) == (0, 0)
    assert dead(parked.world) == 0

    def recorded() -> bool:
        ledger = read_ledger(suite, tmp_path / "export")
        whole = ledger.report.ok and not ledger.report.open_count
        return whole and ledger.types["interlock.dead_letter.redriven.v1"] == len(parked.many) + 2

    until(recorded, "the ledger has it all", suite.process)
    again = parked.operator("dead", "redrive", told["redriven"][0]["id"])
    assert again.code == 1
    assert "there is no such dead letter" in again.err
