"""A server that says exactly what a test wants, byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from interlock.contracts.catalogue import HttpConnection
from services.invocation.clients import Connection

Talk = Callable[["Heard", asyncio.StreamWriter], Awaitable[None]]
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}


@dataclass(frozen=True)
class Heard:
    """One request."""

    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader

    @property
    def message(self) -> Any:
        return json.loads(self.body)


def to(url: str, **more: Any) -> Connection:
    return Connection("acme", "crm", HttpConnection(url=url), **more)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = ["HTTP/1.1 " + status, *headers, f"Content-Length: {len(body)}"]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def result(text: str, number: int = 1) -> bytes:
    return http(b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (number, text.encode()))


@asynccontextmanager
async def talking(talk: Talk, *, greets: bool = True) -> AsyncIterator[str]:
    """The URL of a server that leaves every `tools/call` to `talk`; it ends the connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (heard := await _hear(reader)) is not None:
                if greets and heard.headers.get("mcp-method") == "server/discover":
                    writer.write(result(json.dumps(DISCOVERED)))
                else:
                    await talk(heard, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hear(reader: asyncio.StreamReader) -> Heard | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    lines = head.split("\r\n")[1:-2]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(headers, body, reader)


async def until(true: Callable[[], bool]) -> None:
    """Bounded wait for what another task or process does."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 who does it tells nobody
            await asyncio.sleep(0.001)
