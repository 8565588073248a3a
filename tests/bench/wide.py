"""An MCP server with many tools: `python -m tests.bench.wide --port 9105`."""

from collections.abc import Sequence
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.types import ListToolsResult, PaginatedRequestParams, Tool

from interlock.samples.serve import parser, serve

TOOLS = 1000
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What to look for."},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
    },
    "required": ["query"],
}


async def tools(
    context: ServerRequestContext[Any], params: PaginatedRequestParams | None
) -> ListToolsResult:
    """All of them."""
    listed = [
        Tool(
            name=f"search_{number:04}",
            description=f"Looks for records of kind {number}, and says what it found.",
            input_schema=SCHEMA,
        )
        for number in range(TOOLS)
    ]
    return ListToolsResult(tools=listed, ttl_ms=60_000, cache_scope="public")


def main(given: Sequence[str] | None = None) -> None:
    """Until SIGTERM or SIGINT."""
    server = Server("wide", version="1.0.0", on_list_tools=tools)
    app = server.streamable_http_app(json_response=True, stateless_http=True)
    serve(app, parser("wide", 9105).parse_args(given))


if __name__ == "__main__":
    main()
