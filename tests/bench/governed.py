"""What governance costs: the same tool called directly and through Interlock, in one run.

`python -m tests.bench.governed [--separate] [--bus kafka] [--era 2025-11-25]` prints JSON, an
object as soon as it is known: how fast the machine is, the figures, where the CPU goes. All is on
loopback: upstream and suite are processes of their own, the load generator is this one.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.telemetry.logs import configure_logs
from tests.bench.bare import bare_figures, times_bare
from tests.bench.caller import (
    ERAS,
    VERSION,
    Caller,
    connections,
    one_by_one,
    quantile,
    side_by_side,
)
from tests.bench.work import sampled_suite, work_of
from tests.bench.yardstick import yardstick
from tests.components.kafka import PATIENT, kafka
from tests.components.scratch import quick_folder
from tests.components.suite import Suite, suite, upstream


def tell(**figures: object) -> None:
    """Print figures, so that a later failure does not take them along."""
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.stdout.flush()


SETTLES_WITHIN = 5.0
"""Seconds from readiness until what is imported later is there, too."""
BUSES = ("redis", "kafka")


@contextmanager
def chosen_bus(name: str) -> Iterator[dict[str, str]]:
    """What tells a suite of its bus: its own Valkey, or a broker that runs in this block."""
    if name == "redis":
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder, quick_folder(Path(folder)) as data:
        with kafka(data, PATIENT) as broker:
            yield {"INTERLOCK_BUS_URL": broker.url.replace("&session=2", "")}


def prepare(running: Suite, echo: str) -> str:
    """Register the upstream and an agent; the agent's key."""
    server = {
        "name": "echo",
        "capability": "says what it was told",
        "owner_team": "bench",
        "technical_owner": "nobody",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": f"{echo}/mcp"},
        "required_scopes": ["echo:use"],
        "risk": "low",
    }
    answer = running.ask("POST", "/registry/v1/servers", server)
    if not answer["inspected"]:
        raise RuntimeError(f"the upstream was not inspected: {answer['inspect_error']}")
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", "/registry/v1/servers/echo/move", {"to": state, "reason": "bench"})
    running.ask("POST", "/auth/v1/agents", {"name": "bench"})
    running.ask("PUT", "/policy/v1/permissions/bench", {"permissions": ["echo:use"]})
    made = running.ask("POST", "/auth/v1/keys", {"agent": "bench"})
    return str(made["key"])


def _since(now: dict[str, float], then: dict[str, float], calls: int) -> dict[str, float]:
    return {name: round((now[name] - then.get(name, 0.0)) / calls * 1e3, 3) for name in now}


async def measure(
    running: Suite, echo: str, calls: int, seconds: float, kind: type[Caller] = Caller
) -> dict[str, Any]:
    """Both ways, alone and with 32 in flight."""
    key = prepare(running, echo)
    async with connections() as session:
        direct = kind(session, f"{echo}/mcp", "echo", "none")
        governed = kind(session, f"{running.url}/mcp", "echo__echo", key)
        result: dict[str, Any] = {}
        bare = await one_by_one(direct, calls)
        before = running.cpu()
        full = await one_by_one(governed, calls)
        result["cpu_ms_a_call_at_1"] = _since(running.cpu(), before, calls + 50)
        for q, name in ((0.5, "p50"), (0.99, "p99")):
            result[f"direct_ms_{name}"] = round(quantile(bare, q) * 1e3, 2)
            result[f"governed_ms_{name}"] = round(quantile(full, q) * 1e3, 2)
            result[f"added_ms_{name}"] = round((quantile(full, q) - quantile(bare, q)) * 1e3, 2)
        rate, _ = await side_by_side(direct, 32, seconds / 2)
        result["direct_calls_a_second_at_32"] = round(rate)
        before = running.cpu()
        rate, took = await side_by_side(governed, 32, seconds)
        result["cpu_ms_a_call_at_32"] = _since(running.cpu(), before, len(took))
        result["governed_calls_a_second_at_32"] = round(rate)
        result["governed_ms_p99_at_32"] = round(quantile(took, 0.99) * 1e3, 1)
    return result


def kinds(running: Suite, echo: str, seconds: float) -> dict[str, Any]:
    """Where the CPU of a governed call goes, with 32 in flight."""
    key = prepare(running, echo)

    async def load(seconds: float) -> int:
        async with connections() as session:
            caller = Caller(session, f"{running.url}/mcp", "echo__echo", key)
            return len((await side_by_side(caller, 32, seconds))[1])

    asyncio.run(load(1.0))
    return work_of(running, lambda: asyncio.run(load(seconds)))


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--separate", action="store_true", help="a process per service")
    options.add_argument("--bus", choices=BUSES, default="redis")
    options.add_argument("--era", choices=ERAS, default=VERSION, help="of clients and direct calls")
    options.add_argument("--calls", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=10.0)
    chosen = options.parse_args()
    configure_logs("warning", "auto")
    tell(machine=yardstick())
    with tempfile.TemporaryDirectory() as folder, upstream("interlock.samples.echo") as echo:
        bare = asyncio.run(bare_figures(echo, chosen.calls, chosen.seconds))
        tell(bare_hops=bare)
        arguments = ["--separate"] if chosen.separate else []
        with (
            chosen_bus(chosen.bus) as env,
            suite(Path(folder) / "data", *arguments, env=env) as running,
        ):
            time.sleep(SETTLES_WITHIN)
            rest = running.resident()
            tell(
                started_in_seconds=round(running.started_in, 2),
                resident_mb_at_rest={name: round(mb) for name, mb in rest.items()},
            )
            kind = ERAS[chosen.era]
            ours = asyncio.run(measure(running, echo, chosen.calls, chosen.seconds, kind))
            tell(**ours, times_bare=times_bare(bare, ours))
        if not chosen.separate and chosen.era == VERSION:
            with (
                chosen_bus(chosen.bus) as env,
                sampled_suite(Path(folder) / "sampled", env) as running,
            ):
                tell(cpu_at_32=kinds(running, echo, chosen.seconds))


if __name__ == "__main__":
    main()
