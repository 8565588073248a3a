"""What a second process of one service is worth, and that nothing else changes.

`python -m tests.bench.scale` prints JSON and a table. Policy's decisions and the upstream's answers
are made slow by a wait (see `costly_policy`; the CRM's own delay), so that two cores suffice.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from interlock.bus import Bus, Keyring, Opening, open_bus
from interlock.contracts.topics import SERVICES, topics_of
from interlock.runtime.supervisor import free_port
from interlock.sdk import BusAgent, Submission
from tests.components.crm import REPEATABLE, SERVER, arguments, crm
from tests.components.suite import Suite, until
from tests.components.valkey import owner
from tests.components.world import World, prepare

DECISION = 0.02
"""Seconds that each decision takes longer."""
ANSWER = 0.1
"""Seconds that the upstream takes for a call."""
AT_ONCE = 4
"""Calls that one process of invocation makes at once."""
GLANCE = 0.1
MODULES = {name: f"services.{name}" for name in SERVICES}
COSTLY = MODULES | {"policy": "tests.bench.costly_policy"}


@dataclass
class Apart:
    """Each process of a suite by itself, behind an edge of its own."""

    data: Path
    bus_url: str
    stack: ExitStack
    ports: dict[str, int] = field(default_factory=lambda: {one: free_port() for one in SERVICES})
    edge: int = field(default_factory=free_port)
    processes: list[tuple[str, psutil.Process]] = field(default_factory=list)

    def start(self, modules: Mapping[str, str], twice: str | None) -> Suite:
        """All services, `twice` by two processes; how to ask them."""
        for name, module in modules.items():
            self._spawn(name, ["-m", module], self.ports[name])
        if twice is not None:
            self._spawn(twice, ["-m", modules[twice]], free_port())
        routes = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self._spawn("edge", ["-m", "interlock.cli", "edge"], self.edge, routes)
        suite = Suite(self.data, port=self.edge)
        until(suite.ready, "all are ready", log=self.data.parent / "log", within=120)
        return suite

    def _spawn(
        self, name: str, words: list[str], port: int, routes: dict[str, str] | None = None
    ) -> None:
        environment = os.environ | {
            "INTERLOCK_BUS_URL": self.bus_url,
            "INTERLOCK_DATA": str(self.data),
            "INTERLOCK_PORT": str(port),
            "INTERLOCK_PUBLIC_URL": f"http://127.0.0.1:{self.edge}",
            "INTERLOCK_LOG_LEVEL": "warning",
            "INTERLOCK_EDGE_ROUTES": json.dumps(routes or {}),
            "INTERLOCK_BENCH_DECISION_SECONDS": str(DECISION),
            "INTERLOCK_INVOCATION_CALLS_PER_SERVER": str(AT_ONCE),
        }
        log = self.stack.enter_context((self.data.parent / "log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, *words], env=environment, stdout=log, stderr=log
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        self.processes.append((name, psutil.Process(process.pid)))

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by service."""
        found = dict.fromkeys(SERVICES, 0.0)
        for name, process in self.processes:
            if name in found:
                times = process.cpu_times()
                found[name] += times.user + times.system
        return found


@contextmanager
def apart(modules: Mapping[str, str], twice: str | None) -> Iterator[tuple[Apart, World]]:
    """A suite with the CRM and its agent."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        upstream = stack.enter_context(crm())
        bus = stack.enter_context(owner(here / "valkey"))
        made = Apart(here / "data", bus.url, stack)
        yield made, prepare(made.start(modules, twice), upstream)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 a bench is an edge


async def waiting(bus: Bus, suite: Suite) -> dict[str, int]:
    """What each service has before it, in hand or not."""
    found = {
        name: sum(one.waiting + one.in_flight for one in await bus.backlog(name))
        for name in SERVICES
        if topics_of(name)
    }
    told = await asyncio.to_thread(suite.ask, "GET", "/invocation/v1/status")
    return found | {"invocation": told["waiting"] + told["in_flight"]}


async def drained(here: Apart, world: World, tasks: int) -> dict[str, Any]:
    """Publish, and watch how long each service has something before it, and how much at most."""
    bus = open_bus(Opening(here.bus_url, Keyring({}), now))
    await bus.open()
    calls = [
        Submission(f"t-{n}", SERVER, REPEATABLE, arguments(REPEATABLE, n)) for n in range(tasks)
    ]
    last, most = dict.fromkeys(SERVICES, 0.0), dict.fromkeys(SERVICES, 0)
    before, began = here.cpu(), time.perf_counter()
    async with BusAgent(here.bus_url, world.bus_key) as agent:
        await agent.submit(calls)
    found = {"all": tasks}
    while sum(world.crm.calls().values()) < tasks or any(found.values()):
        found = await waiting(bus, world.suite)
        at = time.perf_counter() - began
        for name, number in found.items():
            most[name] = max(most[name], number)
            last[name] = at if number else last[name]
        await asyncio.sleep(GLANCE)
    after = here.cpu()
    await bus.close()
    return {
        name: {
            "backlog_seconds": round(last[name], 1),
            "most_waiting": most[name],
            "cpu_ms_a_task": round((after[name] - before[name]) / tasks * 1e3, 2),
        }
        for name in SERVICES
    }


def measure(scaled: str, number: int, tasks: int) -> dict[str, Any]:
    """One run: `scaled` is the service that is slow, by one process or two."""
    modules = COSTLY if scaled == "policy" else MODULES
    with apart(modules, scaled if number == 2 else None) as (here, world):
        if scaled == "invocation":
            world.crm.fail(REPEATABLE, "delay", seconds=ANSWER, times=tasks)
        return asyncio.run(drained(here, world, tasks))


def table(scaled: str, one: dict[str, Any], two: dict[str, Any]) -> str:
    """For people: what changed, and what did not."""
    lines = [f"{scaled}: 1 process -> 2", f"{'':12}{'backlog s':>16}{'CPU ms/task':>18}"]
    for name in SERVICES:
        seconds = f"{one[name]['backlog_seconds']} -> {two[name]['backlog_seconds']}"
        cpu = f"{one[name]['cpu_ms_a_task']} -> {two[name]['cpu_ms_a_task']}"
        lines.append(f"{name:12}{seconds:>16}{cpu:>18}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=400)
    options.add_argument("--services", nargs="+", default=["policy", "invocation"])
    chosen = options.parse_args()
    figures: dict[str, Any] = {}
    for scaled in chosen.services:
        one, two = (measure(scaled, number, chosen.tasks) for number in (1, 2))
        share = two[scaled]["backlog_seconds"] / max(one[scaled]["backlog_seconds"], GLANCE)
        figures[scaled] = {"one": one, "two": two, "two_to_one": round(share, 2)}
        sys.stderr.write(table(scaled, one, two))
    json.dump(figures, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
