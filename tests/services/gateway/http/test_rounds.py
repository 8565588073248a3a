"""Calls that ask for input (MCP 2026-07-28, "Multi Round-Trip Requests"), and tasks that do."""

import json
from typing import Any

import httpx2
import pytest

from interlock.bus import Effects, Envelope
from interlock.contracts.catalogue import Execution
from interlock.contracts.outcomes import TaskInputRequired, TaskSucceeded
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import request_digest
from interlock.identity.statements import require_arguments, verify_identity
from interlock.testing import build
from tests.services.gateway.build import Gateway, World, key_of
from tests.services.gateway.http.raw import call, headers, message, post
from tests.services.gateway.http.test_tasks_mcp import (
    CAPABILITIES,
    KNOWS,
    TASKS,
    ask,
    called,
    error_of,
    look,
    offer,
    shown,
    until,
)

ASKABLE: dict[str, Any] = {CAPABILITIES: {"elicitation": {}, "sampling": {}}}
SURE = {"action": "accept", "content": {"sure": True}}
ELICIT = {"method": "elicitation/create", "params": {"message": "sure?"}}


def asking(*rounds: dict[str, Any]) -> Any:
    """An authority whose upstream asks so, round by round, and then answers what it was given."""

    async def judge(envelope: Envelope[TaskAuthenticated]) -> Effects:
        asked = envelope.body
        require_arguments(asked.task, asked.arguments, asked.given)
        if asked.task.round < len(rounds):
            requests = json.dumps(rounds[asked.task.round])
            return [TaskInputRequired(task=asked.task, attempt=1, seq=1, requests=requests)]
        told = {"content": [{"type": "text", "text": asked.given or asked.arguments}]}
        return [TaskSucceeded(task=asked.task, result=json.dumps(told))]

    return judge


async def first(client: httpx2.AsyncClient, **more: Any) -> Any:
    answer = await post(client, call(meta=ASKABLE, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


async def again(client: httpx2.AsyncClient, state: str, answers: Any, **more: Any) -> Any:
    meta = more.pop("meta", ASKABLE)
    path = more.pop("path", "/mcp")
    given = more.pop("headers", headers())
    body = call(meta=meta, requestState=state, inputResponses=answers, **more)
    return await post(client, body, path=path, headers=given)


@pytest.mark.promise("tasks")
async def test_a_call_asks_and_goes_on_with_the_answer(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"sure": ELICIT}, {"name": ELICIT, "age": ELICIT})
    async with gateway.client() as client:
        told = await first(client)
        assert told["resultType"] == "input_required"
        assert told["inputRequests"] == {"sure": ELICIT}
        told = (await again(client, told["requestState"], {"sure": SURE, "other": 1})).json()
        asked = told["result"]
        assert {*asked["inputRequests"]} == {"name", "age"}
        told = (await again(client, asked["requestState"], {"name": SURE})).json()["result"]
        assert {*told["inputRequests"]} == {"name", "age"}, "what is missing is asked for again"
        answers = {"name": SURE, "age": {"action": "decline"}}
        told = (await again(client, told["requestState"], answers)).json()["result"]
    assert told["resultType"] == "complete"
    assert json.loads(told["content"][0]["text"]) == answers
    rounds = [one.body for one in gateway.authority.asked]
    assert [one.task.round for one in rounds] == [0, 1, 2]
    assert len({one.task.id for one in rounds}) == 1
    assert json.loads(rounds[1].given or "") == {"sure": SURE}
    for one in rounds:
        verify_identity(gateway.host.trust, one.identity, one.task)
        assert one.arguments == rounds[0].arguments
        assert json.loads(one.client.capabilities) == ASKABLE[CAPABILITIES]
        assert one.task.request_digest == request_digest(
            one.task.kind, one.task.server, one.task.tool, one.arguments, one.given
        )


async def test_the_same_input_twice_is_one_round_and_other_input_is_refused(
    gateway: Gateway,
) -> None:
    gateway.authority.judge = asking({"sure": ELICIT}, {"more": ELICIT})
    async with gateway.client() as client:
        state = (await first(client))["requestState"]
        one = (await again(client, state, {"sure": SURE})).json()["result"]
        two = (await again(client, state, {"sure": SURE})).json()["result"]
        assert one["inputRequests"] == two["inputRequests"] == {"more": ELICIT}
        other = await again(client, state, {"sure": {"action": "cancel"}})
    assert error_of(other)[:2] == (400, -32602)
    assert [one.body.task.round for one in gateway.authority.asked] == [0, 1]


async def test_a_state_is_good_for_its_caller_its_request_and_its_route(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"sure": ELICIT})
    answers = {"sure": SURE}
    async with gateway.client() as client, gateway.client("other") as other:
        state = (await first(client))["requestState"]
        tampered = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
        wrong = [
            await again(client, tampered, answers),
            await again(client, "no state", answers),
            await again(other, state, answers),
            await again(client, state, answers, arguments={"query": "other"}),
            await again(
                *(client, state, answers),
                name="search",
                path="/servers/crm/mcp",
                headers=headers(name="search"),
            ),
        ]
        assert {error_of(one)[:2] for one in wrong} == {(400, -32602)}
        assert len(gateway.authority.asked) == 1
        told = (await again(client, state, answers)).json()["result"]
    assert told["resultType"] == "complete"


async def test_nobody_is_asked_for_what_was_not_declared(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"roots": {"method": "roots/list", "params": {}}})
    async with gateway.client() as client:
        told = await post(client, call(meta=ASKABLE))
    assert error_of(told)[:2] == (400, -32021)
    assert told.json()["error"]["data"] == {"requiredCapabilities": {"roots": {}}}


async def test_an_upstream_that_only_wants_to_be_asked_again_gets_no_questions(
    gateway: Gateway,
) -> None:
    gateway.authority.judge = asking({}, {})
    bare: dict[str, Any] = {}  # a client that can do nothing can ask again, too
    async with gateway.client() as client:
        for meta in (ASKABLE, bare):
            told = (await post(client, call(meta=meta))).json()["result"]
            for _ in range(2):
                assert (told["resultType"], "inputRequests" in told) == ("input_required", False)
                told = (await again(client, told["requestState"], {}, meta=meta)).json()["result"]
            assert told["resultType"] == "complete"


async def test_a_task_whose_server_only_wants_another_round_goes_on_whatever_its_client_can(
    gateway: Gateway,
) -> None:
    gateway.authority.judge = asking({}, {})
    offer(gateway, Execution.TASK)
    bare: dict[str, Any] = {CAPABILITIES: {"extensions": {TASKS: {}}}}
    async with gateway.client() as client:
        await gateway.host.reader.load()
        told = (await post(client, call(meta=bare))).json()["result"]
        found = await until(client, told["taskId"], "completed")
    assert json.loads(found["result"]["content"][0]["text"]) == {}
    assert [one.body.task.round for one in gateway.authority.asked] == [0, 1, 2]


async def test_any_replica_takes_the_answer(suite: World) -> None:
    suite.authority.judge = asking({"sure": ELICIT})
    async with suite.gateway() as one, suite.gateway() as two:
        two.host.suite = one.host.suite
        async with one.client() as a, two.client() as b:
            state = (await first(a))["requestState"]
            told = (await again(b, state, {"sure": SURE})).json()["result"]
    assert told["resultType"] == "complete"


async def test_a_prompt_asks_too(gateway: Gateway) -> None:
    gateway.authority.judge = asking({"sure": ELICIT})
    async with gateway.client() as client:
        given = headers("prompts/get", "crm__greeting")
        body = message("prompts/get", name="crm__greeting", meta=ASKABLE)
        told = (await post(client, body, headers=given)).json()["result"]
        assert told["inputRequests"] == {"sure": ELICIT}
        more = {"requestState": told["requestState"], "inputResponses": {"sure": SURE}}
        body = message("prompts/get", name="crm__greeting", meta=ASKABLE, **more)
        told = (await post(client, body, headers=given)).json()["result"]
    assert told["resultType"] == "complete"


async def test_a_task_asks_and_takes_answers_one_by_one(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    gateway.authority.judge = asking({"name": ELICIT, "age": ELICIT}, {"name": ELICIT})
    async with gateway.client() as client:
        task = (await called(client))["taskId"]
        asked = await until(client, task, "input_required")
        name, age = asked["inputRequests"]
        for key in (name, name, "unheard of"):
            ack = await ask(client, "tasks/update", task, inputResponses={key: SURE})
            assert {*ack.json()["result"]} - {"_meta"} == {"resultType"}
            left = await until(client, task, "input_required")
            assert {*left["inputRequests"]} == {age}
        await ask(client, "tasks/update", task, inputResponses={age: SURE})
        asked = await look(
            client, task, lambda one: {*one.get("inputRequests", ())} not in (set(), {age})
        )
        (last,) = asked["inputRequests"]
        assert last not in (name, age), "a key is used once in a task's life"
        await ask(client, "tasks/update", task, inputResponses={last: SURE})
        ended = await until(client, task, "completed")
    assert json.loads(ended["result"]["content"][0]["text"]) == {"name": SURE}
    assert json.loads(gateway.authority.asked[1].body.given or "") == {"name": SURE, "age": SURE}


async def test_a_token_narrowed_to_something_else_gives_a_task_no_input(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    gateway.authority.judge = asking({"sure": ELICIT})
    async with gateway.client() as client:
        task = (await called(client))["taskId"]
        (key,) = (await until(client, task, "input_required"))["inputRequests"]
        narrow = headers("tasks/update", task) | {"Authorization": f"Bearer {key_of('narrow')}"}
        answer = await ask(client, "tasks/update", task, inputResponses={key: SURE}, headers=narrow)
        assert "`crm:read`" in error_of(answer)[2]
        assert (await shown(client, task))["status"] == "input_required"
    assert len(gateway.authority.asked) == 1


async def test_a_tool_asks_on_its_call_first_and_goes_on_as_a_task(gateway: Gateway) -> None:
    offer(gateway, Execution.MRTR_FIRST)
    gateway.authority.judge = asking({"sure": ELICIT})
    async with gateway.client() as client:
        told = await called(client)
        assert "taskId" not in told
        assert told["inputRequests"] == {"sure": ELICIT}
        answer = await again(client, told["requestState"], {"sure": SURE}, meta=KNOWS)
        made = answer.json()["result"]
        assert made["resultType"] == "task"
        assert "requestState" not in made
        await until(client, made["taskId"], "completed")


async def test_input_whose_round_is_held_waits_for_its_approval(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    asks = asking({"sure": ELICIT})

    async def judge(envelope: Envelope[TaskAuthenticated]) -> Effects:
        task = envelope.body.task
        held: list[Any] = [build.held(task)]
        return held if task.round else await asks(envelope)

    gateway.authority.judge = judge
    async with gateway.client() as client:
        task = (await called(client))["taskId"]
        (key,) = (await until(client, task, "input_required"))["inputRequests"]
        await ask(client, "tasks/update", task, inputResponses={key: SURE})
        held = await look(client, task, lambda one: "approval" in one.get("statusMessage", ""))
    assert held["status"] == "working"


@pytest.mark.parametrize("era", ["legacy"])
async def test_a_client_that_cannot_be_asked_reads_that_the_call_waits(
    gateway: Gateway, era: str
) -> None:
    gateway.authority.judge = asking({"sure": ELICIT})
    async with gateway.client() as client:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "crm__search", "arguments": {"query": "acme"}},
        }
        given = {"Accept": "application/json, text/event-stream"}
        told = await post(client, body, headers=given | {"MCP-Protocol-Version": "2025-11-25"})
    assert "waits for input" in told.text
    assert gateway.authority.asked[0].body.client.capabilities == "{}"
