"""The cheapest MCP server that is one: `echo` answers with its text. For benchmarks."""

from collections.abc import Sequence
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.types import ASGIApp

from interlock.samples.serve import parser, serve

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def echo_app() -> ASGIApp:
    """The server, at `/mcp`: answers in plain JSON, keeps no sessions."""
    tool = Tool(
        name="echo",
        description="Answers with the text that it is given.",
        input_schema=SCHEMA,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )

    async def tools(
        context: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[tool], ttl_ms=60_000, cache_scope="public")

    async def call(
        context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        text = str((params.arguments or {}).get("text", ""))
        return CallToolResult(content=[TextContent(text=text)])

    server = Server(
        "echo",
        version="1.0.0",
        on_list_tools=tools,
        on_call_tool=call,
        get_tool_input_schema={"echo": SCHEMA}.get,  # else the SDK lists before every call
    )
    return server.streamable_http_app(json_response=True, stateless_http=True)


def main(given: Sequence[str] | None = None) -> None:
    """`python -m interlock.samples.echo --port 9102`."""
    serve(echo_app(), parser("echo", 9102).parse_args(given))


if __name__ == "__main__":
    main()
