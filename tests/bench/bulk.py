"""Tasks published in bulk by an agent on the bus, through every service to a trivial tool.

`python -m tests.bench.bulk [--separate] [--bus kafka]` prints JSON, an object as soon as it is
known: how fast the machine is, tasks a second and CPU a task by process, where the CPU goes.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey

from interlock.sdk import AgentKey, BusAgent, Submission
from interlock.telemetry.logs import configure_logs
from tests.bench.bare import bare_figures, times_bare
from tests.bench.governed import BUSES, chosen_bus, prepare, tell
from tests.bench.work import sampled_suite, work_of
from tests.bench.yardstick import yardstick
from tests.components.suite import Suite, suite, upstream

CHUNK = 250
PATIENCE = 180.0
"""Seconds until a backlog counts as stuck."""


async def publish(url: str, key: AgentKey, tasks: int) -> str:
    """Publish all; the id of the last task."""
    async with BusAgent(url, key) as agent:
        last = ""
        for at in range(0, tasks, CHUNK):
            chunk = [
                Submission(f"bulk-{n}", "echo", "echo", {"text": str(n)})
                for n in range(at, min(at + CHUNK, tasks))
            ]
            last = (await agent.submit(chunk))[-1]
    return last


def succeeded(running: Suite) -> int:
    """Tasks that ended well so far, as the suite's own metrics count them."""
    from urllib.request import Request, urlopen  # noqa: PLC0415 only here

    token = {"Authorization": f"Bearer {running.operator_key}"}
    with urlopen(Request(f"{running.url}/metrics", headers=token), timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    wanted = 'interlock_tasks_total{kind="call",state="succeeded"}'
    return int(float(next((line.split()[-1] for line in lines if line.startswith(wanted)), "0")))


def measure(running: Suite, echo: str, tasks: int) -> dict[str, Any]:
    """Publish, and wait until each task ended."""
    prepare(running, echo)
    key = OKPKey.generate_key("Ed25519")
    public = key.as_dict(private=False)
    running.ask("POST", "/auth/v1/agents/bench/keys", {"public_key": public})
    agent = AgentKey.of("default", "bench", dict(key.as_dict(private=True)))
    url = running.bus_url
    before, already = running.cpu(), succeeded(running)
    began = time.perf_counter()
    asyncio.run(publish(url, agent, tasks))
    published = time.perf_counter() - began
    done = 0
    while done < tasks:
        took = time.perf_counter() - began
        if took > PATIENCE:
            raise RuntimeError(f"only {done} of {tasks} tasks ended in {PATIENCE:g} s")
        # To look costs the suite something: it is done the oftener, the nearer the end is.
        time.sleep(min(1.0, max(0.05, took * (tasks - done) / (done + 1) / 2)))
        done = succeeded(running) - already
    took = time.perf_counter() - began
    after = running.cpu()
    return {
        "tasks": tasks,
        "publishing_seconds": round(published, 2),
        "tasks_a_second": round(tasks / took),
        "cpu_ms_a_task": {n: round((after[n] - before.get(n, 0)) / tasks * 1e3, 3) for n in after},
    }


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--separate", action="store_true", help="a process per service")
    options.add_argument("--bus", choices=BUSES, default="redis")
    options.add_argument("--tasks", type=int, default=5000)
    chosen = options.parse_args()
    configure_logs("warning", "auto")
    tell(machine=yardstick())
    with tempfile.TemporaryDirectory() as folder, upstream("interlock.samples.echo") as echo:
        bare = asyncio.run(bare_figures(echo, calls=100, seconds=1.0, tasks=chosen.tasks))
        tell(bare_hops=bare)
        arguments = ["--separate"] if chosen.separate else []
        with (
            chosen_bus(chosen.bus) as env,
            suite(Path(folder) / "data", *arguments, env=env) as running,
        ):
            ours = measure(running, echo, chosen.tasks)
            tell(**ours, times_bare=times_bare(bare, ours))
        if not chosen.separate:
            with (
                chosen_bus(chosen.bus) as env,
                sampled_suite(Path(folder) / "sampled", env) as running,
            ):
                tell(
                    cpu=work_of(running, lambda: int(measure(running, echo, chosen.tasks)["tasks"]))
                )


if __name__ == "__main__":
    main()
