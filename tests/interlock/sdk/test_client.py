"""The client, against a gateway that says what a test wants."""

import json
from typing import Any

import pytest

from interlock.contracts.task import TaskState
from interlock.errors import Refused, Unavailable, Unsure
from interlock.sdk import ClientCredentials, Event, Interlock
from tests.interlock.sdk.conftest import Answer, Gateway

TASK = "7d0f4a3e-0000-5000-8000-000000000001"


def shown(state: str, **more: Any) -> Answer:
    return Answer(body={"id": TASK, "state": state, **more})


def problem(status: int, code: str, detail: str, **more: Any) -> Answer:
    return Answer(status=status, body={"code": code, "detail": detail, **more})


def told(number: int, name: str, **data: Any) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


async def events(gateway: Gateway, patience: float = 30.0) -> list[Event]:
    async with Interlock(gateway.url, "key") as client:
        return [event async for event in client.task(TASK).events(patience=patience)]


async def test_a_call_carries_the_key_and_gives_the_outcome(gateway: Gateway) -> None:
    result = {"content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
    gateway.will(shown("submitted"), shown("succeeded", result=result, is_error=False))
    async with Interlock(gateway.url, "the-key") as client:
        outcome = await client.call("crm", "search", {"q": 1}, idempotency_key="mine")
    assert outcome.succeeded
    assert outcome.text == "one\ntwo"
    (submit, show) = gateway.asked
    assert submit[:2] == ("POST", "/v1/tasks")
    assert submit[2]["Authorization"] == "Bearer the-key"
    assert submit[2]["Idempotency-Key"] == "mine"
    assert json.loads(submit[3]) == {"server": "crm", "tool": "search", "arguments": {"q": 1}}
    assert show[2]["Prefer"].startswith("wait=")


async def test_a_task_is_given_what_it_asks_for(gateway: Gateway) -> None:
    asks = {"name": {"method": "elicitation/create"}, "age": {"method": "elicitation/create"}}
    standing = shown("input_required", requests=asks, answered=["age"], round=2)
    gateway.will(shown("submitted"), standing, shown("submitted", round=3))
    yes = {"action": "accept", "content": {"name": "Ana"}}
    async with Interlock(gateway.url, "key") as client:
        handle = await client.submit("crm", "search", {}, capabilities={"elicitation": {}})
        asking = await handle.show()
        after = await handle.give({"name": yes}, round=asking.round)
    assert (asking.requests, asking.round) == ({"name": asks["name"]}, 2)
    assert (after.state, after.requests) == (TaskState.SUBMITTED, {})
    submit, _, give = gateway.asked
    assert json.loads(submit[3])["capabilities"] == {"elicitation": {}}
    assert give[:2] == ("POST", f"/v1/tasks/{TASK}/input")
    assert json.loads(give[3]) == {"responses": {"name": yes}, "round": 2}


async def test_input_that_does_not_fit_is_refused_with_what_is_asked_for(gateway: Gateway) -> None:
    gateway.will(problem(422, "invalid", "it asks for `name`", asked=["name"]))
    async with Interlock(gateway.url, "key") as client:
        with pytest.raises(Refused, match="asks for `name`") as error:
            await client.task(TASK).give({"nmae": {"action": "decline"}})
    assert error.value.data["asked"] == ["name"]


async def test_a_tool_that_says_it_failed_did_not_succeed(gateway: Gateway) -> None:
    gateway.will(shown("succeeded", is_error=True))
    async with Interlock(gateway.url, "key") as client:
        outcome = await client.task(TASK).show()
    assert outcome.state is TaskState.SUCCEEDED
    assert not outcome.succeeded


async def test_a_wait_that_ends_before_the_task_says_where_it_stands(gateway: Gateway) -> None:
    gateway.will(shown("held", reason="a person must approve"))
    async with Interlock(gateway.url, "key") as client:
        outcome = await client.task(TASK).outcome(wait=0)
    assert outcome.state is TaskState.HELD
    assert outcome.reason == "a person must approve"


async def test_a_long_wait_is_several_requests(gateway: Gateway) -> None:
    gateway.will(shown("running"), shown("running"), shown("failed", code="unreachable"))
    async with Interlock(gateway.url, "key") as client:
        outcome = await client.task(TASK).outcome(wait=300)
    assert outcome.code == "unreachable"
    assert [asked[2]["Prefer"] for asked in gateway.asked] == ["wait=50"] * 3


async def test_a_refusal_is_told_with_its_code_and_what_else_was_said(gateway: Gateway) -> None:
    violations = [{"at": "/q", "what": "is no number"}]
    gateway.will(problem(422, "invalid", "the arguments are wrong", violations=violations))
    async with Interlock(gateway.url, "key") as client:
        with pytest.raises(Refused, match="the arguments are wrong") as error:
            await client.submit("crm", "search", {})
    assert error.value.code == "invalid"
    assert error.value.data["violations"] == violations


async def test_503_is_unavailable_and_says_when_to_come_back(gateway: Gateway) -> None:
    answer = problem(503, "unavailable", "the bus is away")
    answer.headers["Retry-After"] = "7"
    gateway.will(answer)
    async with Interlock(gateway.url, "key") as client:
        with pytest.raises(Unavailable, match="the bus is away") as error:
            await client.submit("crm", "search", {})
    assert error.value.retry_after == 7


@pytest.mark.parametrize(
    "answer",
    [
        problem(503, "perhaps_accepted", "the answer got lost", url="/v1/tasks/task-1"),
        problem(502, "perhaps_accepted", "the service went away", url="/v1/tasks/task-1"),
    ],
    ids=["door", "edge"],
)
async def test_what_was_perhaps_accepted_is_not_told_to_come_back(
    gateway: Gateway, answer: Answer
) -> None:
    gateway.will(answer)
    async with Interlock(gateway.url, "key") as client:
        with pytest.raises(Unsure) as error:
            await client.submit("crm", "search", {})
    assert error.value.data["url"] == "/v1/tasks/task-1"


@pytest.mark.parametrize("body", ["<h1>no</h1>", ["a"], {"detail": "no code"}])
async def test_an_error_of_somebody_else_is_told_with_its_status(
    gateway: Gateway, body: object
) -> None:
    gateway.will(Answer(status=418, body=body))
    async with Interlock(gateway.url, "key") as client:
        with pytest.raises(Refused, match="`418`"):
            await client.tools()


async def test_nobody_there_is_unavailable_and_says_what_to_do() -> None:
    async with Interlock("http://127.0.0.1:9", "key") as client:
        with pytest.raises(Unavailable, match="is it up") as error:
            await client.tools()
    assert error.value.code == "unreachable"


async def test_a_stream_that_breaks_goes_on_behind_the_last_event(gateway: Gateway) -> None:
    first = told(1, "task.held") + ": still here\n\n" + "id: 2\nevent: task.app"
    gateway.will(
        Answer(stream=first, breaks=True),
        shown("submitted"),
        problem(503, "unavailable", "restarting"),
        Answer(stream=told(2, "task.approved") + told(3, "task.succeeded", is_error=False)),
        shown("succeeded"),
    )
    gateway.answers.pop(1)
    seen = await events(gateway)
    assert [(one.id, one.type) for one in seen] == [
        ("1", "task.held"),
        ("2", "task.approved"),
        ("3", "task.succeeded"),
    ]
    streams = [asked for asked in gateway.asked if asked[1].endswith("/events")]
    assert [asked[2].get("Last-Event-ID") for asked in streams] == [None, "1", "1"]


async def test_a_stream_that_the_gateway_ends_early_is_taken_up_again(gateway: Gateway) -> None:
    gateway.will(
        Answer(stream=told(1, "task.started")),
        shown("running"),
        Answer(stream=told(2, "task.succeeded")),
        shown("succeeded"),
    )
    assert [one.id for one in await events(gateway)] == ["1", "2"]


async def test_a_stream_that_cannot_be_had_at_all_is_an_error(gateway: Gateway) -> None:
    gateway.will(problem(503, "unavailable", "not now"), problem(404, "not_found", "no task"))
    with pytest.raises(Unavailable, match="not now"):
        await events(gateway)
    with pytest.raises(Refused, match="no task"):
        await events(gateway)


async def test_a_stream_that_does_not_come_back_is_an_error_in_the_end(gateway: Gateway) -> None:
    gateway.will(Answer(stream=told(1, "task.started"), breaks=True))
    gateway.will(*[problem(503, "unavailable", "gone")] * 9)
    with pytest.raises(Unavailable, match="gone"):
        await events(gateway, patience=0.1)
    assert len(gateway.answers) == 8


async def test_data_of_several_lines_is_one_event(gateway: Gateway) -> None:
    text = 'id: 1\nevent: task.progressed\ndata: {"message":\ndata:  "half"}\n\n'
    gateway.will(Answer(stream=text), shown("succeeded"))
    (event,) = await events(gateway)
    assert event.data == {"message": "half"}


async def test_a_task_of_the_bus_is_awaited_until_the_gateway_knows_it(gateway: Gateway) -> None:
    unknown = problem(404, "not_found", "there is no task")
    gateway.will(unknown, unknown, shown("submitted"))
    async with Interlock(gateway.url, "key") as client:
        assert (await client.task(TASK).accepted()).state is TaskState.SUBMITTED
        gateway.will(unknown)
        with pytest.raises(Refused, match="there is no task"):
            await client.task(TASK).accepted(wait=0)


async def test_a_token_is_fetched_once_and_again_before_it_ends(gateway: Gateway) -> None:
    tools = Answer(body={"tools": []})
    gateway.will(Answer(body={"access_token": "one", "expires_in": 600}), tools, tools)
    credential = ClientCredentials("copilot", "s3cret", scope="crm:read")
    async with Interlock(gateway.url, credential) as client:
        await client.tools()
        await client.tools()
    assert [asked[1] for asked in gateway.asked] == ["/auth/token", "/v1/tools", "/v1/tools"]
    assert "grant_type=client_credentials&scope=crm" in gateway.asked[0][3]
    assert gateway.asked[0][2]["Authorization"].startswith("Basic ")
    assert gateway.asked[2][2]["Authorization"] == "Bearer one"
    short = Answer(body={"access_token": "two", "expires_in": 20})
    gateway.will(short, tools, short, tools)
    async with Interlock(gateway.url, ClientCredentials("copilot", "s3cret")) as client:
        await client.tools()
        await client.tools()
    assert not gateway.answers
    assert "s3cret" not in repr(credential)


async def test_an_issuer_that_refuses_is_told(gateway: Gateway) -> None:
    gateway.will(
        Answer(status=401, body={"error": "invalid_client", "error_description": "who is that"})
    )
    async with Interlock(gateway.url, ClientCredentials("copilot", "no")) as client:
        with pytest.raises(Refused, match="`copilot` no token: who is that"):
            await client.tools()


async def test_a_client_is_used_inside_its_block() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Interlock("http://127.0.0.1:9", "key").tools()
