"""An agent's own MCP client: the official SDK, pointed at the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

TASK_META = "dev.interlock/taskId"
Era = Literal["2026-07-28", "legacy", "auto"]


@dataclass(frozen=True)
class McpCall:
    """What a `tools/call` through the gateway gave."""

    protocol: str
    tools: tuple[str, ...]
    """All that the agent sees."""
    task: str
    is_error: bool
    text: str


async def call_over_mcp(
    url: str, key: str, tool: str, arguments: Mapping[str, Any], *, mode: Era = "auto"
) -> McpCall:
    """List the tools and call one, as any MCP client would."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        listed = await client.list_tools()
        result = await client.call_tool(tool, dict(arguments))
        protocol = client.session.protocol_version
    return McpCall(
        protocol=str(protocol),
        tools=tuple(one.name for one in listed.tools),
        task=str((result.meta or {}).get(TASK_META, "")),
        is_error=bool(result.is_error),
        text="\n".join(one.text for one in result.content if isinstance(one, TextContent)),
    )
