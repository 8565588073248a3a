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

from tests.bench.governed import META, VERSION, prepare, quantile
from tests.components.suite import Suite, suite, upstream

STREAMS = 1000
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def headers(key: str, method: str) -> Mapping[str, str]:
    """Of a request of 2026-07-28."""
    given = {"Authorization": f"Bearer {key}", "MCP-Protocol-Version": VERSION}
    return {**ACCEPT, **given, "Mcp-Method": method}


async def pages(session: aiohttp.ClientSession, url: str, key: str) -> tuple[int, list[float]]:
    """How many tools there are, and the seconds of each page of their list."""
    found, took = 0, []
    cursor: dict[str, str] = {}
    while True:
        params = {**cursor, "_meta": META}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}
        began = time.perf_counter()
        given = headers(key, "tools/list")
        async with session.post(url, data=json.dumps(body), headers=given) as answer:
            text = await answer.read()
        took.append(time.perf_counter() - began)
        result = json.loads(text)["result"]
        found += len(result["tools"])
        if "nextCursor" not in result:
            return found, took
        cursor = {"cursor": result["nextCursor"]}


async def lists(running: Suite, key: str, times: int) -> dict[str, Any]:
    """A catalogue of a thousand tools, listed again and again."""
    async with aiohttp.ClientSession() as session:
        url = f"{running.url}/mcp"
        found, cold = await pages(session, url, key)
        before = sum(running.cpu().values())
        warm = [await pages(session, url, key) for _ in range(times)]
        cpu = sum(running.cpu().values()) - before
    whole = [sum(took) for _, took in warm]
    page = [one for _, took in warm for one in took]
    return {
        "tools": found,
        "tools_list_first_ms": round(cold[0] * 1e3, 2),
        "tools_list_page_ms_p50": round(quantile(page, 0.5) * 1e3, 2),
        "tools_list_page_ms_p99": round(quantile(page, 0.99) * 1e3, 2),
        "tools_list_page_cpu_ms": round(cpu / len(page) * 1e3, 2),
        "tools_list_all_pages_ms_p50": round(quantile(whole, 0.5) * 1e3, 2),
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
        suite(Path(folder) / "data") as running,
    ):
        key = prepare(running, echo)
        register_wide(running, wide)
        told = asyncio.run(lists(running, key, chosen.lists))
        told |= asyncio.run(streams(running, key))
    sys.stdout.write(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
