"""The load generator: a tool called as an MCP client calls it, one by one or side by side."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence

import aiohttp

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
