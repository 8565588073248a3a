"""The tasks extension: any call as a durable task, seen on any replica by its owner alone."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from interlock.contracts.catalogue import Execution
from interlock.contracts.outcomes import TaskFailed, TaskParked
from interlock.state import CATALOGUE
from interlock.testing import build
from tests.services.gateway.build import Gateway, World, eventually, now, server, tool
from tests.services.gateway.http.raw import call, headers, message, post
from tests.services.gateway.http.test_rest import deny, hold, nothing
from tests.services.gateway.http.test_stream import start, task_of, tell

TASKS = "io.modelcontextprotocol/tasks"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
KNOWS: dict[str, Any] = {CAPABILITIES: {"extensions": {TASKS: {}}, "elicitation": {}}}
Client = httpx2.AsyncClient


def offer(gateway: Gateway, execution: Execution, **more: Any) -> None:
    """`crm__search` is answered so."""
    made = server("crm", "acme", tool("search", "crm:read", execution=execution, **more))
    gateway.state.publish(CATALOGUE, "acme", "crm", made)


async def called(client: Client, **more: Any) -> Any:
    answer = await post(client, call(meta=KNOWS, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


async def ask(client: Client, method: str, task_id: str, **more: Any) -> httpx2.Response:
    given = more.pop("headers", headers(method, task_id))
    meta = more.pop("meta", KNOWS)
    return await post(client, message(method, taskId=task_id, meta=meta, **more), headers=given)


async def shown(client: Client, task_id: str) -> Any:
    return (await ask(client, "tasks/get", task_id)).json()["result"]


async def look(client: Client, task_id: str, fits: Callable[[Any], bool]) -> Any:
    """The task as soon as it is as wished, by asking again and again as a client does."""
    for _ in range(2000):
        found = await shown(client, task_id)
        if fits(found):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(found)


async def until(client: Client, task_id: str, status: str) -> Any:
    return await look(client, task_id, lambda found: found["status"] == status)


def error_of(answer: httpx2.Response) -> tuple[int, int, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


async def test_the_extension_is_announced(gateway: Gateway) -> None:
    async with gateway.client() as client:
        given = headers("server/discover", None)
        told = (await post(client, message("server/discover"), headers=given)).json()["result"]
    assert told["capabilities"]["extensions"] == {TASKS: {}}


@pytest.mark.promise("tasks")
@pytest.mark.parametrize("execution", [Execution.TASK, Execution.TASK_REQUIRED])
async def test_a_task_is_answered_at_once_and_is_there_to_be_looked_at(
    gateway: Gateway, execution: Execution
) -> None:
    offer(gateway, execution)
    gateway.authority.judge = start
    async with gateway.client() as client:
        made = await called(client)
        assert made["resultType"] == "task"
        assert made["status"] == "working"
        assert made["ttlMs"] >= 24 * 3600 * 1000
        assert "result" not in made
        assert (await shown(client, made["taskId"]))["taskId"] == made["taskId"]
        await eventually(lambda: gateway.authority.asked or None)
        await tell(gateway, build.progressed(task_of(gateway)))
        await look(client, made["taskId"], lambda one: one.get("statusMessage") == "half-way")
        await tell(gateway, build.succeeded(task_of(gateway)))
        ended = await until(client, made["taskId"], "completed")
    assert ended["resultType"] == "complete"
    assert ended["result"]["content"] == []
    asked = gateway.authority.asked[0].body
    assert asked.task.deadline - now() > timedelta(hours=23)
    assert json.loads(asked.client.capabilities) == KNOWS[CAPABILITIES]


async def test_a_call_becomes_a_task_once_its_inline_window_is_over(gateway: Gateway) -> None:
    offer(gateway, Execution.SYNC, inline_seconds=0.05)
    gateway.authority.judge = nothing
    async with gateway.client() as client:
        made = await called(client)
        assert made["resultType"] == "task"
        await tell(gateway, build.succeeded(task_of(gateway)))
        assert (await until(client, made["taskId"], "completed"))["result"]["content"] == []


async def test_a_call_that_ends_in_its_inline_window_is_answered_with_its_result(
    gateway: Gateway,
) -> None:
    async with gateway.client() as client:
        told = await called(client)
    assert told["resultType"] == "complete"
    assert told["content"][0]["text"] == '{"query": "acme"}'


async def test_a_client_that_knows_no_tasks_gets_results_and_is_refused_what_needs_tasks(
    gateway: Gateway,
) -> None:
    offer(gateway, Execution.TASK)
    async with gateway.client() as client:
        assert (await post(client, call())).json()["result"]["resultType"] == "complete"
        offer(gateway, Execution.TASK_REQUIRED)
        await gateway.host.reader.load()
        refused = await post(client, call())
    assert error_of(refused)[:2] == (400, -32021)
    needed = refused.json()["error"]["data"]["requiredCapabilities"]
    assert needed == {"extensions": {TASKS: {}}}


async def test_a_held_task_shows_who_may_approve_it_and_a_parked_one_why(gateway: Gateway) -> None:
    gateway.authority.judge = hold
    async with gateway.client() as client:
        made = await called(client)
        assert (made["resultType"], made["status"]) == ("task", "working")
        held = await shown(client, made["taskId"])
        assert "`sales-manager`" in held["statusMessage"]
        assert held["_meta"]["dev.interlock/state"] == "held"
        await tell(
            gateway,
            TaskParked(
                task=task_of(gateway),
                dead_topic="task.authorized.call.invocation.dead",
                letter_id="letter-1",
                after_decision=True,
                code="internal",
                reason="the handler failed",
            ),
        )
        await look(client, made["taskId"], lambda one: "parked" in one["statusMessage"])


async def ended_by(gateway: Gateway, client: Client, fact: Any, status: str) -> Any:
    offer(gateway, Execution.TASK)
    gateway.authority.judge = nothing
    made = await called(client)
    asked, mine = gateway.authority.asked, made["taskId"]
    await eventually(lambda: (asked and asked[-1].body.task.id == mine) or None)
    await tell(gateway, fact.model_copy(update={"task": task_of(gateway)}))
    return await until(client, made["taskId"], status)


async def test_only_an_error_of_the_protocol_is_a_failure(gateway: Gateway) -> None:
    error = '{"code":-32603,"message":"broken","data":{"a":1}}'
    failed = TaskFailed(task=build.task(), code="upstream", reason="it said no", error=error)
    async with gateway.client() as client:
        told = await ended_by(gateway, client, failed, "failed")
        assert told["error"] == json.loads(error)
        assert "result" not in told
        for fact in (build.failed(), build.denied(), build.unknown()):
            told = await ended_by(gateway, client, fact, "completed")
            assert told["result"]["isError"] is True
            assert told["statusMessage"]
        assert "unknown" in told["statusMessage"]
        assert told["_meta"]["dev.interlock/state"] == "unknown"


async def test_a_cancelled_task_is_cancelled_and_cancelling_again_says_nothing_else(
    gateway: Gateway,
) -> None:
    offer(gateway, Execution.TASK)
    gateway.authority.judge = start
    async with gateway.client() as client:
        made = await called(client)
        told = (await ask(client, "tasks/cancel", made["taskId"])).json()["result"]
        assert {*told} - {"_meta"} == {"resultType"}
        asked = await asyncio.wait_for(gateway.authority.cancelled.get(), 20)
        assert asked.task.id == made["taskId"]
        await tell(gateway, build.cancelled(asked.task))
        await until(client, made["taskId"], "cancelled")
        again = (await ask(client, "tasks/cancel", made["taskId"])).json()["result"]
    assert again["resultType"] == "complete"
    assert gateway.authority.cancelled.empty()


@pytest.mark.promise("tasks")
async def test_foreign_and_unheard_of_tasks_are_the_same_to_a_caller(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    async with gateway.client() as client, gateway.client("other") as other:
        made = await called(client)
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            foreign = await ask(other, method, made["taskId"])
            unheard = await ask(other, method, "no-such-task")
            assert error_of(foreign) == error_of(unheard) == (400, -32602, "there is no such task")


async def test_tasks_need_the_capability_and_headers_that_say_the_same(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    async with gateway.client() as client:
        made = await called(client)
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            lacking = await ask(client, method, made["taskId"], meta={})
            assert error_of(lacking)[:2] == (400, -32021)
            wrong = await ask(client, method, made["taskId"], headers=headers(method, "other"))
            assert error_of(wrong)[:2] == (400, -32020)
        without = await ask(client, "tasks/get", made["taskId"], headers=headers("tasks/get", None))
        assert without.status_code == 200
        for method in ("tasks/list", "tasks/result"):
            assert error_of(await ask(client, method, made["taskId"]))[:2] == (404, -32601)


async def test_closing_a_stream_cancels_no_task_that_was_handed_out(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    gateway.authority.judge = start
    async with gateway.client() as client:
        made = await called(client)
    async with gateway.client() as client:
        assert (await shown(client, made["taskId"]))["status"] == "working"
    assert gateway.authority.cancelled.empty()


@pytest.mark.promise("tasks")
async def test_any_replica_shows_a_task(suite: World) -> None:
    async with suite.gateway() as one, suite.gateway() as two:
        offer(one, Execution.TASK)
        async with one.client() as a, two.client() as b:
            task = await called(a)
            assert (await until(b, task["taskId"], "completed"))["result"]["content"]


async def test_a_denial_is_a_result_that_says_why(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    gateway.authority.judge = deny
    async with gateway.client() as client:
        made = await called(client)
        told = await until(client, made["taskId"], "completed")
    assert "no-exports" in told["result"]["content"][0]["text"]
