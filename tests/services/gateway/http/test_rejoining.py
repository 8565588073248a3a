"""A client whose stream broke asks again, as MCP has it do: no side effect happens twice for it.

The calls here may not be repeated; what the upstream did is what the authority was asked for.
"""

import asyncio
import json
import socket
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from interlock.bus import Effects, Envelope, Stamp
from interlock.contracts.ids import derived
from interlock.contracts.outcomes import TaskCancelled, TaskSucceeded, TaskUnknown
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import Task, TaskEvent, TaskState
from interlock.state import CATALOGUE
from interlock.testing import build
from interlock.testing.build import KEYRING
from services.gateway.decide.rejoin import GONE
from services.gateway.model import Place
from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway, World, eventually, key_of, now, server, tool
from tests.services.gateway.http.raw import ACCEPT, call, headers, post
from tests.services.gateway.http.test_mcp import PATHS
from tests.services.gateway.http.test_rest import CALL, nothing
from tests.services.gateway.http.test_stream import start, task_of

OLDER = ACCEPT | {"MCP-Protocol-Version": "2025-11-25"}
LARGE = 8_000_000
"""Bytes: more than two sockets hold between them."""


def older() -> dict[str, Any]:
    params = {"name": "crm__search", "arguments": {"query": "acme"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def broken_off(gateway: Gateway, body: Any, given: dict[str, str]) -> Task:
    """The task of a call whose client went away while it ran."""
    before = len(gateway.authority.asked)
    async with gateway.client() as client:
        calling = asyncio.ensure_future(post(client, body, headers=given))
        await eventually(lambda: len(gateway.authority.asked) > before)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    task = task_of(gateway)
    kept = gateway.shared.kept(Place(task.tenant, task.id))
    await eventually(lambda: not kept.waited_for)
    return task


async def again(gateway: Gateway, given: dict[str, str], body: Any = None) -> dict[str, Any]:
    """The result of the same call; `Accept` decides between the two paths through the door."""
    async with gateway.client() as client:
        told = await post(client, body or call(), headers=given)
    text = told.text
    if told.headers["content-type"] == "text/event-stream":
        text = text.split("data: ", 1)[1]
    result: dict[str, Any] = json.loads(text)["result"]
    return result


async def tell(gateway: Gateway, fact: TaskEvent) -> None:
    """State how a task ended, and now: how long ago it was decides."""
    stamp = Stamp("invocation", KEYRING, now)
    made = derived("test", fact.type, fact.model_dump_json())
    await gateway.bus.publish([stamp.state(fact, made, None, None)])


async def told(gateway: Gateway, fact: TaskEvent) -> None:
    """`tell`, and it stands."""
    await tell(gateway, fact)
    kept = gateway.shared.kept(Place(fact.task.tenant, fact.task.id))
    await eventually(lambda: kept.snapshot is not None and kept.snapshot.final)


def gone(task: Task) -> TaskCancelled:
    return TaskCancelled(task=task, by=task.principal, reason=GONE)


def unknown(task: Task) -> TaskUnknown:
    return TaskUnknown(task=task, code="lost", reason="nobody knows")


@PATHS
async def test_it_ran_and_ended_unknown_for_the_cancel_the_second_client_is_told_so(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = start
    async with suite.gateway() as one, suite.gateway() as two:
        task = await broken_off(one, call(), given)
        await asyncio.wait_for(suite.authority.cancelled.get(), 5)
        await told(one, unknown(task))
        for gateway in (two, one):
            result = await again(gateway, given)
            assert result["_meta"]["dev.interlock/taskId"] == task.id
            assert result["_meta"]["dev.interlock/state"] == "unknown"
    assert len(suite.authority.asked) == 1


@PATHS
async def test_it_was_cancelled_before_it_ran_the_second_call_is_a_task_of_its_own(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as gateway:
        task = await broken_off(gateway, call(), given)
        await asyncio.wait_for(suite.authority.cancelled.get(), 5)
        await tell(gateway, gone(task))
        suite.authority.judge = succeed
        result = await again(gateway, given)
    assert result["_meta"]["dev.interlock/state"] == "succeeded"
    assert result["_meta"]["dev.interlock/taskId"] != task.id
    assert len(suite.authority.asked) == 2


async def succeed(envelope: Envelope[TaskAuthenticated]) -> Effects:
    return [TaskSucceeded(task=envelope.body.task, result='{"content":[]}')]


@PATHS
async def test_its_cancel_takes_effect_while_the_second_client_waits_then_it_is_made_anew(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as one, suite.gateway() as two:
        task = await broken_off(one, call(), given)
        await asyncio.wait_for(suite.authority.cancelled.get(), 5)
        waiting = asyncio.ensure_future(again(two, given))
        await joined(suite, task)
        suite.authority.judge = succeed
        await tell(one, gone(task))
        result = await waiting
    assert result["_meta"]["dev.interlock/state"] == "succeeded"
    assert [one.body.task.id == task.id for one in suite.authority.asked] == [True, False]


async def joined(suite: World, task: Task) -> None:
    """Somebody waits for it again."""
    kept = suite.shared.kept(Place(task.tenant, task.id))
    await eventually(lambda: len(kept.doors) > 1)


@PATHS
async def test_it_ended_in_spite_of_the_cancel_the_second_client_gets_its_result(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = start
    async with suite.gateway() as one, suite.gateway() as two:
        task = await broken_off(one, call(), given)
        await told(one, build.succeeded(task))
        result = await again(two, given)
        assert result["_meta"]["dev.interlock/taskId"] == task.id
        assert result["content"] == []
        suite.authority.judge = succeed
        after = await again(two, given)  # told once, it is over: this one is deliberate
    assert after["_meta"]["dev.interlock/taskId"] != task.id
    assert len(suite.authority.asked) == 2


async def test_an_older_client_that_left_gets_the_outcome_when_it_asks_again(suite: World) -> None:
    suite.authority.judge = start
    async with suite.gateway() as one, suite.gateway() as two:
        task = await broken_off(one, older(), OLDER)
        waiting = asyncio.ensure_future(again(two, OLDER, older()))
        await joined(suite, task)
        await tell(one, build.succeeded(task))
        result = await waiting
    assert result["_meta"]["dev.interlock/taskId"] == task.id
    assert suite.authority.cancelled.empty()
    assert len(suite.authority.asked) == 1


@PATHS
async def test_two_equal_calls_at_once_by_clients_that_wait_are_two_tasks(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = start
    async with suite.gateway() as one, suite.gateway() as two:
        calls = [asyncio.ensure_future(again(gateway, given)) for gateway in (one, two)]
        await eventually(lambda: len(suite.authority.asked) == 2)
        for envelope in suite.authority.asked:
            await tell(one, build.succeeded(envelope.body.task))
        results = await asyncio.gather(*calls)
    told = {result["_meta"]["dev.interlock/taskId"] for result in results}
    assert told == {envelope.body.task.id for envelope in suite.authority.asked}
    assert len(told) == 2


@PATHS
async def test_equal_calls_one_after_another_are_all_made_and_none_waits(
    suite: World, given: dict[str, str]
) -> None:
    async with suite.gateway() as gateway, gateway.client() as client:
        async with asyncio.timeout(20):
            for _ in range(10):
                assert (await post(client, call(), headers=given)).status_code == 200
    assert len(suite.authority.asked) == 10


@PATHS
async def test_a_call_whose_wait_ended_is_waited_for_further(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = nothing
    async with suite.gateway(Settings(mcp_wait_seconds=0.2)) as gateway:
        first = await again(gateway, given)
        assert first["_meta"]["dev.interlock/state"] == "submitted"
        await told(gateway, build.succeeded(task_of(gateway)))
        second = await again(gateway, given)
    assert second["content"] == []
    assert first["_meta"]["dev.interlock/taskId"] == second["_meta"]["dev.interlock/taskId"]
    assert len(suite.authority.asked) == 1


@PATHS
async def test_a_call_that_may_be_repeated_is_made_again(
    suite: World, given: dict[str, str]
) -> None:
    suite.state.publish(
        CATALOGUE, "acme", "crm", server("crm", "acme", tool("search", repeatable=True))
    )
    suite.authority.judge = start
    async with suite.gateway() as gateway:
        task = await broken_off(gateway, call(), given)
        suite.authority.judge = succeed
        result = await again(gateway, given)
    assert result["_meta"]["dev.interlock/taskId"] != task.id
    assert len(suite.authority.asked) == 2


async def test_rest_joins_nothing_and_its_tasks_are_not_joined(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as gateway, gateway.client() as client:
        task = await broken_off(gateway, call(), headers())
        rest = [(await client.post("/v1/tasks", json=CALL)).json()["id"] for _ in range(2)]
        assert len({task.id, *rest}) == 3
        await told(gateway, build.succeeded(task))
        result = await again(gateway, headers())
    assert result["_meta"]["dev.interlock/taskId"] == task.id


@PATHS
async def test_an_answer_that_a_client_did_not_take_is_not_written_out(
    suite: World, given: dict[str, str]
) -> None:
    """It never reads, and a part of the answer stays behind: the slow reader is dropped."""
    text = json.dumps({"content": [{"type": "text", "text": "x" * LARGE}]})

    async def large(envelope: Envelope[TaskAuthenticated]) -> Effects:
        return [TaskSucceeded(task=envelope.body.task, result=text)]

    suite.authority.judge = large
    async with suite.gateway(Settings(slow_reader_seconds=0.5)) as gateway:
        with deaf(gateway, call(), given):
            await eventually(lambda: left(suite))
        result = await again(gateway, given)
        assert result["_meta"]["dev.interlock/taskId"] == task_of(gateway).id
        assert len(result["content"][0]["text"]) == LARGE
    assert len(suite.authority.asked) == 1
    assert suite.authority.cancelled.empty()


@PATHS
async def test_a_client_that_takes_no_progress_loses_its_stream_and_the_call_goes_on(
    suite: World, given: dict[str, str]
) -> None:
    suite.authority.judge = start
    async with suite.gateway(Settings(slow_reader_seconds=0.5)) as gateway:
        with deaf(gateway, call(meta={"progressToken": 1}), given):
            await eventually(lambda: suite.authority.asked)
            task = task_of(gateway)
            kept = gateway.shared.kept(Place(task.tenant, task.id))
            for n in range(1, 1000):
                fact = build.progressed(task, seq=n)
                await tell(
                    gateway, fact.model_copy(update={"progress": n, "message": "x" * 100_000})
                )
                await asyncio.sleep(0.01)
                if kept.waited_for == 0.0:
                    break
        await told(gateway, build.succeeded(task))
        result = await again(gateway, given)
    assert result["_meta"]["dev.interlock/taskId"] == task.id
    assert suite.authority.cancelled.empty()
    assert len(suite.authority.asked) == 1


def left(suite: World) -> bool:
    return any(
        kept.waited_for == 0.0 and kept.snapshot and kept.snapshot.state is TaskState.SUCCEEDED
        for kept in suite.shared.tasks.values()
    )


def deaf(gateway: Gateway, body: Any, given: dict[str, str]) -> socket.socket:
    """A client that asks and never reads; its buffer is as small as may be."""
    url = httpx2.URL(gateway.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.connect((url.host, url.port))
    content = json.dumps(body).encode()
    told = given | {
        "Host": f"{url.host}:{url.port}",
        "Authorization": f"Bearer {key_of('copilot')}",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    client.sendall(f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + content)
    return client


@pytest.mark.parametrize("at", ["same", "other"])
async def test_a_second_client_that_comes_before_the_loss_is_noticed_waits_for_it(
    suite: World, at: str
) -> None:
    """A proxy may tell us of the new request first, and of the loss of the old one then."""
    suite.authority.judge = start
    async with suite.gateway() as one, suite.gateway() as two:
        with capture_logs() as logs:
            async with one.client() as client:
                calling = asyncio.ensure_future(post(client, older(), headers=OLDER))
                await eventually(lambda: suite.authority.asked)
                waiting = asyncio.ensure_future(again(one if at == "same" else two, OLDER, older()))
                await asyncio.sleep(0.05)
                calling.cancel()
                await asyncio.gather(calling, return_exceptions=True)
            await eventually(lambda: [one for one in logs if one["event"] == "call.joined"])
        task = task_of(one)
        await tell(one, build.succeeded(task))
        result = await waiting
    assert result["_meta"]["dev.interlock/taskId"] == task.id
    assert len(suite.authority.asked) == 1
