"""Tools that take their time: what Interlock runs as tasks, and this server knows nothing of."""

import asyncio

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, InputRequest, InputRequiredResult

from tests.conformance.everything.rounds import Asked, elicit, given

FAILS_AFTER = 1.0
"""Seconds."""


def add_to(server: MCPServer) -> None:
    """Everything of this module."""
    for tool in (
        greet,
        slow_compute,
        failing_job,
        protocol_error_job,
        confirm_delete,
        multi_input,
        test_tool_with_task,
    ):
        server.tool(structured_output=False)(tool)


def greet(name: str = "world") -> str:
    """Greets at once."""
    return f"Hello, {name}!"


async def slow_compute(seconds: float = 1.0, label: str = "") -> str:
    """Takes as long as it is told."""
    await asyncio.sleep(seconds)
    return f"Computed {label} in {seconds:g} s."


async def failing_job() -> str:
    """Fails after a second, as a tool does."""
    await asyncio.sleep(FAILS_AFTER)
    raise RuntimeError("the job failed")


def protocol_error_job() -> str:
    """Fails with an error of the protocol."""
    raise MCPError(INTERNAL_ERROR, "the job broke the protocol")


async def confirm_delete(ctx: Context, filename: str = "file.txt") -> Asked:
    """Asks before it deletes."""
    if "confirm" not in (ctx.input_responses or {}):
        question = elicit(f"Delete {filename}?", confirm="boolean")
        return InputRequiredResult(input_requests={"confirm": question})
    return f"Deleted {filename}."


async def multi_input(ctx: Context) -> Asked:
    """Asks for a name and an age at once."""
    questions: dict[str, InputRequest] = {
        "name": elicit("What is your name?", name="string"),
        "age": elicit("How old are you?", age="integer"),
    }
    if not questions.keys() <= (ctx.input_responses or {}).keys():
        return InputRequiredResult(input_requests=questions)
    return "Got both."


async def test_tool_with_task(ctx: Context) -> Asked:
    """Asks once, then goes to work."""
    name = given(ctx, "user_name", "name")
    if name is None:
        question = elicit("What is your name?", name="string")
        return InputRequiredResult(input_requests={"user_name": question})
    await asyncio.sleep(0.2)
    return f"Done, {name}."
