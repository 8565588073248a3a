"""Reading server-sent events (WHATWG HTML, §9.2)."""

import json
from collections.abc import AsyncIterator

import aiohttp

from interlock.sdk.task import Event


async def read_events(lines: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Events with JSON data; comments keep the connection alive and are passed over."""
    fields: dict[str, str] = {}
    async for raw in lines:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if "data" in fields:
                yield Event(
                    fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"])
                )
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
