"""`notifications/tasks`: told to a task's owner as it moves, on whichever replica that listens."""

import asyncio
from typing import Any

from interlock.contracts.catalogue import Execution
from interlock.testing import build
from tests.services.gateway.build import Gateway, World, eventually
from tests.services.gateway.http.raw import frames, headers, message, post
from tests.services.gateway.http.test_rest import nothing
from tests.services.gateway.http.test_stream import task_of, tell
from tests.services.gateway.http.test_tasks_mcp import KNOWS, Client, called, error_of, offer

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def listen(*tasks: str, meta: Any = KNOWS) -> Any:
    return message("subscriptions/listen", notifications={"taskIds": tasks}, meta=meta)


async def heard(client: Client, body: Any, told: "asyncio.Queue[Any]") -> None:
    given = headers("subscriptions/listen", None)
    async with client.stream("POST", "/mcp", json=body, headers=given) as stream:
        async for name, data in frames(stream):
            if name == "message":
                told.put_nowait(data)


async def until(told: "asyncio.Queue[Any]", status: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            found = (await told.get())["params"]
            if found.get("status") == status:
                return found


async def test_an_owner_hears_how_its_task_moves_on_any_replica(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as one, suite.gateway() as two:
        offer(one, Execution.TASK)
        async with one.client() as a, two.client() as b:
            task = (await called(a))["taskId"]
            told: asyncio.Queue[Any] = asyncio.Queue()
            hearing = asyncio.ensure_future(heard(b, listen(task, "no-such-task"), told))
            first = await asyncio.wait_for(told.get(), 20)
            assert first["method"] == "notifications/subscriptions/acknowledged"
            assert first["params"]["notifications"]["taskIds"] == [task]
            now = await until(told, "working")
            assert now["_meta"][SUBSCRIPTION] == 7
            await eventually(lambda: suite.authority.asked or None)
            await tell(one, build.input_required(task_of(one)))
            asked = await until(told, "input_required")
            assert [*asked["inputRequests"]] == ["sure#0"]
            await tell(one, build.succeeded(task_of(one)))
            ended = await until(told, "completed")
            assert (ended["taskId"], ended["result"]["content"]) == (task, [])
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


async def test_nobody_hears_of_tasks_of_others_or_without_the_capability(gateway: Gateway) -> None:
    offer(gateway, Execution.TASK)
    async with gateway.client() as client, gateway.client("other") as other:
        task = (await called(client))["taskId"]
        told: asyncio.Queue[Any] = asyncio.Queue()
        hearing = asyncio.ensure_future(heard(other, listen(task), told))
        first = await asyncio.wait_for(told.get(), 20)
        assert first["params"]["notifications"]["taskIds"] == []
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        given = headers("subscriptions/listen", None)
        lacking = await post(client, listen(task, meta={}), headers=given)
    assert error_of(lacking)[:2] == (400, -32021)
