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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.work import sampled_suite, work_of
from tests.bench.yardstick import yardstick
from tests.components.kafka import PATIENT, kafka
from tests.components.scratch import quick_folder
from tests.components.suite import Suite, suite, upstream

VERSION, HANDSHAKE = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


IDLE_SECONDS = 2.0
"""After which a connection is not used again: an upstream closes one after 5 s (uvicorn's default),
and what is sent at that very moment is lost."""


def connections() -> aiohttp.ClientSession:
    """What the load generator calls through."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(keepalive_timeout=IDLE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=60),
    )


def tell(**figures: object) -> None:
    """Print figures, so that a later failure does not take them along."""
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.stdout.flush()


class Caller:
    """One POST a call, as lean as a client can be, so that it measures the other side."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tool: str, token: str) -> None:
        self._session, self._url, self._tool = session, url, tool
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        self._meta: Mapping[str, object] = META
        self._n = 0

    async def call(self) -> float:
        """Seconds of one call; anything but the tool's answer is an error."""
        self._n += 1
        arguments = {"text": f"{self._n}"}
        params = {"name": self._tool, "arguments": arguments, "_meta": self._meta}
        body = {"jsonrpc": "2.0", "id": self._n, "method": "tools/call", "params": params}
        began = time.perf_counter()
        async with self._session.post(
            self._url, data=json.dumps(body), headers=self._headers
        ) as answer:
            text = await answer.text()
        took = time.perf_counter() - began
        if answer.status != 200 or '"isError":true' in text or '"result"' not in text:
            raise RuntimeError(f"{answer.status}: {text[:500]}")
        return took


class Old(Caller):
    """The same call, as a client of the handshake era makes it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tool: str, token: str) -> None:
        super().__init__(session, url, tool, token)
        self._headers = {k: v for k, v in self._headers.items() if not k.startswith("Mcp-")}
        self._headers["MCP-Protocol-Version"] = HANDSHAKE
        self._meta = {}


ERAS: Mapping[str, type[Caller]] = {VERSION: Caller, HANDSHAKE: Old}


async def one_by_one(caller: Caller, calls: int) -> list[float]:
    """Latencies, seconds, one call in flight."""
    for _ in range(50):
        await caller.call()
    return [await caller.call() for _ in range(calls)]


async def side_by_side(caller: Caller, in_flight: int, seconds: float) -> tuple[float, list[float]]:
    """Calls a second and latencies with a number of calls in flight."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def work() -> None:
        while time.perf_counter() < until:
            took.append(await caller.call())

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return len(took) / (time.perf_counter() - began), took


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which a share `q` of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


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
    tell(machine=yardstick())
    with tempfile.TemporaryDirectory() as folder, upstream("interlock.samples.echo") as echo:
        arguments = ["--separate"] if chosen.separate else []
        with (
            chosen_bus(chosen.bus) as env,
            suite(Path(folder) / "data", *arguments, env=env) as running,
        ):
            rest = running.resident()
            tell(
                started_in_seconds=round(running.started_in, 2),
                resident_mb_at_rest={name: round(mb) for name, mb in rest.items()},
                **asyncio.run(
                    measure(running, echo, chosen.calls, chosen.seconds, ERAS[chosen.era])
                ),
            )
        if not chosen.separate and chosen.era == VERSION:
            with (
                chosen_bus(chosen.bus) as env,
                sampled_suite(Path(folder) / "sampled", env) as running,
            ):
                tell(cpu_at_32=kinds(running, echo, chosen.seconds))


if __name__ == "__main__":
    main()
