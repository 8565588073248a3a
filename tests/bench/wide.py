"""An MCP server with many of each thing: `python -m tests.bench.wide --port 9105`."""

from collections.abc import Sequence
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.types import (
    ListPromptsResult,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    Resource,
    Tool,
)

from interlock.samples.serve import parser, serve

TOOLS = 999
"""A thousand together with the one of the echo."""
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


async def resources(
    context: ServerRequestContext[Any], params: PaginatedRequestParams | None
) -> ListResourcesResult:
    """As many."""
    listed = [
        Resource(
            uri=f"wide://records/{number:04}",
            name=f"Record {number}",
            description=f"All that is known of record {number}, as text.",
            mime_type="text/plain",
        )
        for number in range(TOOLS)
    ]
    return ListResourcesResult(resources=listed, ttl_ms=60_000, cache_scope="public")


async def prompts(
    context: ServerRequestContext[Any], params: PaginatedRequestParams | None
) -> ListPromptsResult:
    """As many."""
    listed = [
        Prompt(name=f"ask_{number:04}", description=f"Asks for record {number} in good words.")
        for number in range(TOOLS)
    ]
    return ListPromptsResult(prompts=listed, ttl_ms=60_000, cache_scope="public")


def main(given: Sequence[str] | None = None) -> None:
    """Until SIGTERM or SIGINT."""
    server = Server(
        "wide",
        version="1.0.0",
        on_list_tools=tools,
        on_list_resources=resources,
        on_list_prompts=prompts,
    )
    app = server.streamable_http_app(json_response=True, stateless_http=True)
    serve(app, parser("wide", 9105).parse_args(given))


if __name__ == "__main__":
    main()
