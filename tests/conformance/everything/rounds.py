"""Tools and a prompt that ask in rounds, as servers do since 2026-07-28 (SEP-2322).

What they give the client to hand back (`request_state`) is sealed by `MCPServer`.
"""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

Asked = str | InputRequiredResult


def add_to(server: MCPServer) -> None:
    """Everything of this module."""
    for tool in (
        test_input_required_result_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_tampered_state,
        test_input_required_result_capabilities,
        test_missing_capability,
        test_streaming_elicitation,
    ):
        server.tool(structured_output=False)(tool)

    @server.prompt()
    async def test_input_required_result_prompt(ctx: Context) -> Any:
        """Asks for its context."""
        context = given(ctx, "user_context", "context")
        if context is None:
            question = elicit("What context should the prompt use?", context="string")
            return InputRequiredResult(input_requests={"user_context": question})
        return [UserMessage(f"Use this context: {context}")]


async def test_input_required_result_elicitation(ctx: Context) -> Asked:
    """Asks for a name."""
    name = given(ctx, "user_name", "name")
    if name is None:
        question = elicit("What is your name?", name="string")
        return InputRequiredResult(input_requests={"user_name": question})
    return f"Hello, {name}!"


async def test_input_required_result_sampling(ctx: Context) -> Asked:
    """Asks the client's model."""
    answer = (ctx.input_responses or {}).get("capital_question")
    if answer is None:
        question = sample("What is the capital of France?", 100)
        return InputRequiredResult(input_requests={"capital_question": question})
    return f"The model said: {answer.model_dump_json(by_alias=True)}"


async def test_input_required_result_list_roots(ctx: Context) -> Asked:
    """Asks for the client's roots."""
    answer = (ctx.input_responses or {}).get("client_roots")
    if answer is None:
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return f"The roots are: {answer.model_dump_json(by_alias=True)}"


async def test_input_required_result_request_state(ctx: Context) -> Asked:
    """Asks, and wants its state back with the answer."""
    if given(ctx, "confirm", "ok") is None or ctx.request_state != "waits for ok":
        question = elicit("Please confirm", ok="boolean")
        return InputRequiredResult(
            input_requests={"confirm": question}, request_state="waits for ok"
        )
    return "state-ok"


async def test_input_required_result_multiple_inputs(ctx: Context) -> Asked:
    """Asks three things at once."""
    questions: dict[str, InputRequest] = {
        "user_name": elicit("What is your name?", name="string"),
        "greeting": sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if ctx.request_state is None or not questions.keys() <= (ctx.input_responses or {}).keys():
        return InputRequiredResult(input_requests=questions, request_state="three asked")
    return f"Got {len(questions)} answers."


async def test_input_required_result_multi_round(ctx: Context) -> Asked:
    """Asks twice."""
    state = ctx.request_state or ""
    name = given(ctx, "step1", "name")
    if state == "step 1" and name is not None:
        question = elicit("Step 2: What is your favorite color?", color="string")
        return InputRequiredResult(
            input_requests={"step2": question}, request_state=f"step 2 of {name}"
        )
    color = given(ctx, "step2", "color")
    if state.startswith("step 2 of ") and color is not None:
        return f"{state.removeprefix('step 2 of ')} likes {color}."
    question = elicit("Step 1: What is your name?", name="string")
    return InputRequiredResult(input_requests={"step1": question}, request_state="step 1")


async def test_input_required_result_tampered_state(ctx: Context) -> Asked:
    """Asks, with a state that nobody can change unnoticed."""
    if ctx.request_state is None or given(ctx, "confirm", "ok") is None:
        question = elicit("Please confirm", ok="boolean")
        return InputRequiredResult(input_requests={"confirm": question}, request_state="untouched")
    return "The state came back untouched."


async def test_input_required_result_capabilities(ctx: Context) -> Asked:
    """Asks only what the client says that it can answer."""
    can = ctx.client_capabilities
    questions: dict[str, InputRequest] = {}
    if can is not None and can.sampling is not None:
        questions["thought"] = sample("What do you think?", 50)
    if can is not None and can.elicitation is not None:
        questions["opinion"] = elicit("What do you think?", opinion="string")
    if questions and not ctx.input_responses:
        return InputRequiredResult(input_requests=questions)
    return "Nothing more to ask."


async def test_streaming_elicitation(ctx: Context) -> Asked:
    """Tells its progress and asks: the question is its result, never a request on the stream."""
    await ctx.report_progress(1, 2, "about to ask")
    return await test_input_required_result_elicitation(ctx)


async def test_missing_capability(ctx: Context) -> str:
    """Cannot work without a client that samples."""
    can = ctx.client_capabilities
    if can is None or can.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs a client that samples", needed
        )
    return "The client samples."


def elicit(message: str, **properties: str) -> ElicitRequest:
    """A question to the user; `properties` are the types of what is to be filled in."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text: str, max_tokens: int) -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def given(ctx: Context, question: str, name: str) -> Any:
    """What the user filled in; None where nothing was asked or nothing filled in."""
    answer = (ctx.input_responses or {}).get(question)
    if not isinstance(answer, ElicitResult):
        return None
    return (answer.content or {}).get(name)
