"""What a server offers without asking anybody: tools, resources, prompts, completion."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Annotated, Any

from mcp.server import MCPServer, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    AudioContent,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
    UnsubscribeRequestParams,
)
from pydantic import Field

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
STEP = 0.05
"""Seconds between two things that a tool says, as the suite asks."""
SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def add_to(server: MCPServer) -> None:
    """Everything of this module."""
    for tool in (*READING, *OTHER):
        read_only = ToolAnnotations(read_only_hint=tool in READING)
        server.tool(annotations=read_only)(tool)
    _resources(server)
    _prompts(server)
    _requests(server)


# -- tools ----------------------------------------------------------------------------------------


def test_simple_text() -> str:
    """Answers with a text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[ImageContent]:
    """Answers with an image."""
    return [_image()]


def test_audio_content() -> list[AudioContent]:
    """Answers with a sound."""
    return [AudioContent(data=WAV, mime_type="audio/wav")]


def test_embedded_resource() -> list[EmbeddedResource]:
    """Answers with a resource inside."""
    text = "This is an embedded resource content."
    return [_embedded("test://embedded-resource", text, "text/plain")]


def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Answers with a text, an image and a resource."""
    mixed = json.dumps({"test": "data", "value": 123})
    return [
        TextContent(text="Multiple content types test:"),
        _image(),
        _embedded("test://mixed-content-resource", mixed, "application/json"),
    ]


def test_error_handling() -> str:
    """Fails, as a tool does."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three times."""
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.log("info", said)
        await asyncio.sleep(STEP)
    return "Logged three times."


async def test_logging_tool(ctx: Context) -> str:
    """Logs once; since 2026-07-28 only a client that names a level hears of it."""
    await ctx.log("info", "Logged.")
    return "Logged once."


async def test_tool_with_progress(ctx: Context) -> str:
    """Tells its progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(STEP)
    return "Told its progress three times."


async def test_reconnection(ctx: Context) -> str:
    """Closes its stream in the middle of the call; the client comes back for the rest."""
    await ctx.close_sse_stream()
    await asyncio.sleep(4 * STEP)
    return "Reconnection test completed"


def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    priority: int = 0,
) -> str:
    """Has an argument that a header mirrors."""
    return f"region={region} priority={priority}"


def json_schema_2020_12_tool(name: str = "") -> str:
    """Has an input schema with words of JSON Schema 2020-12; see `_schema`."""
    return f"name={name}"


READING: tuple[Callable[..., Any], ...] = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
)
OTHER: tuple[Callable[..., Any], ...] = (
    test_tool_with_logging,
    test_logging_tool,
    test_tool_with_progress,
    test_reconnection,
    test_x_mcp_header,
    json_schema_2020_12_tool,
)

# -- resources and prompts ------------------------------------------------------------------------


def _resources(server: MCPServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """A text that never changes."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image that never changes."""
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """A text that may be subscribed to."""
        return "Watched resource content"

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def data(id: str) -> str:
        """One of many."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _prompts(server: MCPServer) -> None:
    @server.prompt()
    def test_simple_prompt() -> list[UserMessage]:
        """Has no arguments."""
        return [UserMessage("This is a simple prompt for testing.")]

    @server.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        """Has two arguments."""
        return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    @server.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 the suite's name
        """Has a resource inside."""
        text = "Embedded resource content for testing."
        return [
            UserMessage(_embedded(resourceUri, text, "text/plain")),
            UserMessage("Please process the embedded resource above."),
        ]

    @server.prompt()
    def test_prompt_with_image() -> list[UserMessage]:
        """Has an image inside."""
        return [UserMessage(_image()), UserMessage("Please analyze the image above.")]


def _requests(server: MCPServer) -> None:
    """Completion; and what only the handshake era has, of which `MCPServer` knows nothing."""

    async def complete(
        ctx: ServerRequestContext[Any, Any], params: CompleteRequestParams
    ) -> CompleteResult:
        words = ("paris", "park", "party")
        found = [one for one in words if one.startswith(params.argument.value)]
        return CompleteResult(completion=Completion(values=found, total=len(found)))

    async def nothing(ctx: ServerRequestContext[Any, Any], params: Any) -> EmptyResult:
        return EmptyResult()

    low = server._lowlevel_server  # there is no other way to its low level
    low.add_request_handler("completion/complete", CompleteRequestParams, complete)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, nothing)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, nothing)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, nothing)
    server.middleware.append(_schema)


async def _schema(ctx: ServerRequestContext[Any, Any], call_next: Any) -> Any:
    """Middleware: one tool's input schema is written by hand, not derived from its signature."""
    result = await call_next(ctx)
    if ctx.method != "tools/list":
        return result
    told = result if isinstance(result, dict) else result.model_dump(by_alias=True, mode="json")
    for tool in told["tools"]:
        if tool["name"] == json_schema_2020_12_tool.__name__:
            tool["inputSchema"] = SCHEMA_2020_12
    return told


def _image() -> ImageContent:
    return ImageContent(data=PNG, mime_type="image/png")


def _embedded(uri: str, text: str, mime_type: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, text=text, mime_type=mime_type))
