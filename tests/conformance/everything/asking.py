"""Tools that ask the client while they run, as servers did up to 2025-11-25; whoever speaks a later
version to them is asked with the result."""

from collections.abc import Sequence
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import (
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)

from tests.conformance.everything.rounds import Asked, sample

QUESTION = "question"

DEFAULTS: dict[str, Any] = {
    "name": {"type": "string", "description": "User name", "default": "John Doe"},
    "age": {"type": "integer", "description": "User age", "default": 30},
    "score": {"type": "number", "description": "User score", "default": 95.5},
    "status": {
        "type": "string",
        "description": "User status",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    "verified": {"type": "boolean", "description": "Verification status", "default": True},
}
PLAIN = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
ENUMS: dict[str, Any] = {
    "untitledSingle": {"type": "string", "enum": PLAIN},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": PLAIN}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}
ANSWER: dict[str, Any] = {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"},
}


def add_to(server: MCPServer) -> None:
    """Everything of this module."""
    for tool in (
        test_sampling,
        test_elicitation,
        test_elicitation_sep1034_defaults,
        test_elicitation_sep1330_enums,
    ):
        server.tool(structured_output=False)(tool)


async def test_sampling(prompt: str, ctx: Context) -> Asked:
    """Asks the client's model."""
    if not ctx.session.can_send_request:
        answer = (ctx.input_responses or {}).get(QUESTION)
        if answer is None:
            return InputRequiredResult(input_requests={QUESTION: sample(prompt, 100)})
    else:
        asked = [SamplingMessage(role="user", content=TextContent(text=prompt))]
        answer = await ctx.session.create_message(asked, max_tokens=100)
    content = answer.content if isinstance(answer, CreateMessageResult) else None
    return f"LLM response: {content.text if isinstance(content, TextContent) else answer}"


async def test_elicitation(message: str, ctx: Context) -> Asked:
    """Asks the user."""
    return await _ask(ctx, "User response", message, ANSWER, ["username", "email"])


async def test_elicitation_sep1034_defaults(ctx: Context) -> Asked:
    """Asks the user, and offers a default for each kind of value."""
    return await _ask(ctx, "Elicitation completed", "Please review your profile", DEFAULTS)


async def test_elicitation_sep1330_enums(ctx: Context) -> Asked:
    """Asks the user to choose, in each way that there is."""
    return await _ask(ctx, "Elicitation completed", "Please choose", ENUMS)


async def _ask(
    ctx: Context, done: str, message: str, properties: dict[str, Any], required: Sequence[str] = ()
) -> Asked:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = [*required]
    if not ctx.session.can_send_request:
        answer = (ctx.input_responses or {}).get(QUESTION)
        if not isinstance(answer, ElicitResult):
            form = ElicitRequestFormParams(message=message, requested_schema=schema)
            return InputRequiredResult(input_requests={QUESTION: ElicitRequest(params=form)})
    else:
        answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return f"{done}: action={answer.action}, content={answer.content or {}}"
