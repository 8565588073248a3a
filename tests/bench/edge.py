"""What the MCP edge costs beside calls: long lists and idle streams.

`python -m tests.bench.edge` prints JSON. The suite and its upstreams are processes of their own.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.caller import META, VERSION, quantile
from tests.bench.governed import prepare
from tests.bench.yardstick import yardstick
from tests.components.suite import Suite, suite, upstream

STREAMS = 1000
KINDS = ("tools", "resources", "prompts")
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def headers(key: str, method: str) -> Mapping[str, str]:
    """Of a request of 2026-07-28."""
    given = {"Authorization": f"Bearer {key}", "MCP-Protocol-Version": VERSION}
    return {**ACCEPT, **given, "Mcp-Method": method}


async def pages(
    session: aiohttp.ClientSession, url: str, key: str, kind: str
) -> tuple[int, list[tuple[float, int]]]:
    """How many there are, and the seconds and bytes of each page of their list."""
    found, took = 0, []
    cursor: dict[str, str] = {}
    while True:
        params = {**cursor, "_meta": META}
        body = {"jsonrpc": "2.0", "id": 1, "method": f"{kind}/list", "params": params}
        began = time.perf_counter()
        given = headers(key, f"{kind}/list")
        async with session.post(url, data=json.dumps(body), headers=given) as answer:
            text = await answer.read()
        took.append((time.perf_counter() - began, len(text)))
        result = json.loads(text)["result"]
        found += len(result[kind])
        if "nextCursor" not in result:
            return found, took
        cursor = {"cursor": result["nextCursor"]}


async def plain(session: aiohttp.ClientSession, url: str, key: str, size: int) -> float:
    """Seconds of the same request, answered with as many bytes by who does nothing for it."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "-", "params": {"_meta": META}})
    began = time.perf_counter()
    async with session.post(f"{url}/{size}", data=body, headers=headers(key, "-")) as answer:
        await answer.read()
    return time.perf_counter() - began


async def lists(running: Suite, floor: str, key: str, kind: str, times: int) -> dict[str, Any]:
    """A catalogue of a thousand, listed again and again, beside an answer of the same bytes."""
    async with aiohttp.ClientSession() as session:
        url = f"{running.url}/mcp"
        found, cold = await pages(session, url, key, kind)
        warm, bare, cpu = [], [], 0.0
        for _ in range(times):
            before = sum(running.cpu().values())
            warm.append((await pages(session, url, key, kind))[1])
            cpu += sum(running.cpu().values()) - before
            bare.append([await plain(session, floor, key, size) for _, size in warm[-1]])
    first, least = quantile([one[0][0] for one in warm], 0.5), quantile([b[0] for b in bare], 0.5)
    whole = quantile([sum(took for took, _ in one) for one in warm], 0.5)
    whole_least = quantile([sum(one) for one in bare], 0.5)
    return {
        "listed": found,
        "pages": len(cold),
        "kb": sum(size for _, size in cold) // 1024,
        "cold_ms": round(cold[0][0] * 1e3, 2),
        "first_page_ms_p50": round(first * 1e3, 2),
        "first_page_floor_ms_p50": round(least * 1e3, 2),
        "first_page_times_floor": round(first / least, 2),
        "whole_ms_p50": round(whole * 1e3, 2),
        "whole_ms_p99": round(quantile([sum(t for t, _ in one) for one in warm], 0.99) * 1e3, 2),
        "whole_floor_ms_p50": round(whole_least * 1e3, 2),
        "whole_times_floor": round(whole / whole_least, 2),
        "whole_cpu_ms": round(cpu / times * 1e3, 2),
    }


async def streams(running: Suite, key: str) -> dict[str, Any]:
    """Memory of the suite with a thousand streams that hear nothing."""
    before = sum(running.resident().values())
    wanted = {"toolsListChanged": True, "resourcesListChanged": True}
    params = {"notifications": wanted, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, AsyncExitStack() as stack:
        for _ in range(STREAMS):
            given = headers(key, "subscriptions/listen")
            stream = session.post(f"{running.url}/mcp", data=json.dumps(body), headers=given)
            answer = await stack.enter_async_context(stream)
            if b"acknowledged" not in await answer.content.readany():
                raise RuntimeError("a stream was not acknowledged")
        after = sum(running.resident().values())
    return {"idle_streams": STREAMS, "idle_streams_mb": round(after - before, 1)}


def register_wide(running: Suite, url: str) -> None:
    """A thousand more tools for whoever may use the echo."""
    server = {
        "name": "wide",
        "capability": "has many tools",
        "owner_team": "bench",
        "technical_owner": "nobody",
        "environment": "development",
        "connection": {"transport": "streamable-http", "url": f"{url}/mcp"},
        "required_scopes": ["echo:use"],
        "risk": "low",
    }
    told = running.ask("POST", "/registry/v1/servers", server)
    if not told["inspected"]:
        raise RuntimeError(f"the upstream was not inspected: {told['inspect_error']}")
    for state in ("submitted", "security_review", "approved_dev"):
        running.ask("POST", "/registry/v1/servers/wide/move", {"to": state, "reason": "bench"})


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lists", type=int, default=50, help="how often all pages are read")
    chosen = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        upstream("interlock.samples.echo") as echo,
        upstream("tests.bench.wide") as wide,
        upstream("tests.bench.floor") as floor,
        suite(Path(folder) / "data") as running,
    ):
        key = prepare(running, echo)
        register_wide(running, wide)
        told: dict[str, Any] = {"yardstick": yardstick()}
        for kind in KINDS:
            told[f"{kind}/list"] = asyncio.run(lists(running, floor, key, kind, chosen.lists))
        told |= asyncio.run(streams(running, key))
    sys.stdout.write(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
