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
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from interlock.bus import Bus, Keyring, Opening, open_bus
from interlock.contracts.topics import SERVICES
from interlock.sdk import BusAgent, Submission
from tests.components.crm import REPEATABLE, SERVER, arguments, crm
from tests.components.ports import lasting_port
from tests.components.suite import Suite, until
from tests.components.valkey import owner
from tests.components.world import World, prepare

DECISION = 0.03
"""Seconds that each decision takes longer."""
ANSWER = 1.0
"""Seconds that the upstream takes for a call."""
AT_ONCE = 8
"""Calls that one process of invocation makes at once."""
GLANCE = 0.1
MODULES = {name: f"services.{name}" for name in SERVICES}
COSTLY = MODULES | {"policy": "tests.bench.costly_policy"}
LIMITS = {
    "policy": {"INTERLOCK_BENCH_DECISION_SECONDS": str(DECISION)},
    "invocation": {"INTERLOCK_INVOCATION_CALLS_PER_SERVER": str(AT_ONCE)},
}
"""What makes the one slow that is scaled."""


@dataclass
class Apart:
    """Each process of a suite by itself, behind an edge of its own."""

    data: Path
    bus_url: str
    stack: ExitStack
    limits: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=lambda: {one: lasting_port() for one in SERVICES})
    edge: int = field(default_factory=lasting_port)
    processes: list[tuple[str, psutil.Process]] = field(default_factory=list)

    def start(self, modules: Mapping[str, str], twice: str | None) -> Suite:
        """All services, `twice` by two processes; how to ask them."""
        for name, module in modules.items():
            self._spawn(name, ["-m", module], self.ports[name])
        if twice is not None:
            self._spawn(twice, ["-m", modules[twice]], lasting_port())
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
            **self.limits,
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
def apart(scaled: str, number: int) -> Iterator[tuple[Apart, World]]:
    """A suite with the CRM and its agent; `scaled` is slow, by one process or two."""
    modules = COSTLY if scaled == "policy" else MODULES
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        upstream = stack.enter_context(crm())
        bus = stack.enter_context(owner(here / "valkey"))
        made = Apart(here / "data", bus.url, stack, LIMITS[scaled])
        yield made, prepare(made.start(modules, scaled if number == 2 else None), upstream)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 a bench is an edge


@dataclass
class Seen:
    """What a service had before it: until when, how much and how old at most."""

    backlog_seconds: float = 0.0
    most_waiting: int = 0
    oldest_seconds: float = 0.0
    cpu_ms_a_task: float = 0.0

    def look(self, number: int, oldest: float, at: float) -> None:
        if number:
            self.backlog_seconds = round(at, 1)
        self.most_waiting = max(self.most_waiting, number)
        self.oldest_seconds = max(self.oldest_seconds, round(oldest, 1))


async def waiting(bus: Bus, suite: Suite) -> dict[str, tuple[int, float]]:
    """What each service has before it, in hand or not, and how old the oldest is."""
    found = {}
    for name in SERVICES:
        topics = await bus.backlog(name)
        number = sum(one.waiting + one.in_flight for one in topics)
        found[name] = number, max(one.oldest_seconds for one in topics)
    told = await asyncio.to_thread(suite.ask, "GET", "/invocation/v1/status")
    found["invocation"] = told["waiting"] + told["in_flight"], told["oldest_seconds"]
    return found


async def drained(here: Apart, world: World, tasks: int) -> dict[str, Seen]:
    """Publish, and watch what each service has before it until nobody has anything."""
    bus = open_bus(Opening(here.bus_url, Keyring({}), now))
    await bus.open()
    calls = [
        Submission(f"t-{n}", SERVER, REPEATABLE, arguments(REPEATABLE, n)) for n in range(tasks)
    ]
    seen = {name: Seen() for name in SERVICES}
    before, began = here.cpu(), time.perf_counter()
    async with BusAgent(here.bus_url, world.bus_key) as agent:
        await agent.submit(calls)
    busy = True
    while busy or sum(world.crm.calls().values()) < tasks:
        found = await waiting(bus, world.suite)
        busy = any(number for number, _ in found.values())
        for name, (number, oldest) in found.items():
            seen[name].look(number, oldest, time.perf_counter() - began)
        await asyncio.sleep(GLANCE)
    after = here.cpu()
    await bus.close()
    for name, one in seen.items():
        one.cpu_ms_a_task = round((after[name] - before[name]) / tasks * 1e3, 2)
    return seen


def measure(scaled: str, number: int, tasks: int) -> dict[str, Seen]:
    """One run."""
    with apart(scaled, number) as (here, world):
        if scaled == "invocation":
            world.crm.fail(REPEATABLE, "delay", seconds=ANSWER, times=tasks)
        return asyncio.run(drained(here, world, tasks))


def table(scaled: str, one: Mapping[str, Seen], two: Mapping[str, Seen]) -> str:
    """For people: what changed, and what did not."""
    lines = [f"{scaled}: 1 process -> 2", f"{'':12}{'oldest s':>18}{'CPU ms/task':>18}"]
    for name in SERVICES:
        oldest = f"{one[name].oldest_seconds} -> {two[name].oldest_seconds}"
        cpu = f"{one[name].cpu_ms_a_task} -> {two[name].cpu_ms_a_task}"
        lines.append(f"{name:12}{oldest:>18}{cpu:>18}")
    seconds = f"{one[scaled].backlog_seconds} -> {two[scaled].backlog_seconds}"
    lines.append(f"seconds until {scaled} had nothing before it: {seconds}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=300)
    options.add_argument("--services", nargs="+", default=["policy", "invocation"])
    chosen = options.parse_args()
    figures: dict[str, Any] = {}
    for scaled in chosen.services:
        one, two = (measure(scaled, number, chosen.tasks) for number in (1, 2))
        share = two[scaled].backlog_seconds / one[scaled].backlog_seconds
        figures[scaled] = {
            "one": {name: asdict(seen) for name, seen in one.items()},
            "two": {name: asdict(seen) for name, seen in two.items()},
            "two_to_one": round(share, 2),
        }
        sys.stderr.write(table(scaled, one, two))
    json.dump(figures, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
