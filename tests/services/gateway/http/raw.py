"""MCP 2026-07-28 as plain HTTP."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

VERSION = "2026-07-28"
ACCEPT = {"Accept": "application/json, text/event-stream"}


def headers(method: str = "tools/call", name: str | None = "crm__search") -> dict[str, str]:
    made = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method, **ACCEPT}
    return made | ({"Mcp-Name": name} if name is not None else {})


def message(method: str = "tools/call", **params: Any) -> dict[str, Any]:
    meta = params.pop("meta", {})
    envelope = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {
        "jsonrpc": "2.0",
        "id": 7,
        "method": method,
        "params": {"_meta": envelope | meta, **params},
    }


def call(arguments: Mapping[str, Any] | None = None, name: str = "crm__search", **more: Any) -> Any:
    given = {"query": "acme"} if arguments is None else dict(arguments)
    return message(name=name, arguments=given, **more)


async def post(client: httpx2.AsyncClient, body: Any, **more: Any) -> httpx2.Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    given = {"Content-Type": "application/json"} | more.pop("headers", headers())
    return await client.post(more.pop("path", "/mcp"), content=content, headers=given, **more)


async def frames(response: httpx2.Response) -> AsyncIterator[tuple[str, Any]]:
    """Server-sent events: (comment or event's name, data)."""
    event: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield ":", None
        elif line:
            name, _, value = line.partition(":")
            event[name] = value.strip()
        elif event:
            yield event.get("event", "message"), json.loads(event["data"])
            event = {}
