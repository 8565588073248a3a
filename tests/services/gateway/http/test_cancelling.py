"""`notifications/cancelled` of older clients, whose sessions nobody keeps (MCP 2025-11-25)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from services.gateway.decide.rejoin import GONE
from tests.services.gateway.build import Gateway, World, eventually
from tests.services.gateway.http.raw import call, headers, post
from tests.services.gateway.http.test_rejoining import OLDER
from tests.services.gateway.http.test_rest import nothing


def older(request: Any, query: str = "acme") -> dict[str, Any]:
    params = {"name": "crm__search", "arguments": {"query": query}}
    return {"jsonrpc": "2.0", "id": request, "method": "tools/call", "params": params}


def cancelled(request: Any, **more: Any) -> dict[str, Any]:
    params = {"requestId": request, **more}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}


@asynccontextmanager
async def calling(gateway: Gateway, *bodies: Any, who: str = "copilot") -> AsyncIterator[Any]:
    """A client that waits for these calls, all of which run."""
    before, noted = len(gateway.authority.asked), len(gateway.shared.requests)
    async with gateway.client(who) as client:
        waiting = [asyncio.ensure_future(post(client, body, headers=OLDER)) for body in bodies]
        await eventually(lambda: len(gateway.authority.asked) == before + len(bodies))
        await eventually(lambda: len(gateway.shared.requests) == noted + len(bodies))
        try:
            yield client
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def send(client: httpx2.AsyncClient, body: Any, given: Any = OLDER) -> int:
    return (await post(client, body, headers=given)).status_code


async def test_it_cancels_the_one_call_that_it_can_mean_on_any_replica(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as one, suite.gateway() as two:
        async with calling(one, older(1), older("1", "other")), two.client() as client:
            assert await send(client, cancelled(1, reason="took too long")) == 202
            asked = await asyncio.wait_for(suite.authority.cancelled.get(), 5)
            meant = {envelope.body.task.id: envelope for envelope in suite.authority.asked}
    assert asked.reason == "`notifications/cancelled`: took too long"
    assert asked.by.name == "copilot"
    assert '"acme"' in meant[asked.task.id].body.arguments
    assert suite.authority.cancelled.empty()


async def test_an_id_that_two_of_a_principals_clients_use_cancels_neither(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as one, suite.gateway() as two:
        async with calling(one, older(1)) as client, calling(two, older(1, "other")):
            assert await send(client, cancelled(1)) == 202
    assert suite.authority.cancelled.empty()


async def test_nobody_cancels_the_calls_of_another(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as gateway, gateway.client("other") as other:
        async with calling(gateway, older(1)):
            assert await send(other, cancelled(1)) == 202
    assert suite.authority.cancelled.empty()


async def test_once_its_response_is_over_an_id_means_nothing(suite: World) -> None:
    suite.authority.judge = nothing
    async with suite.gateway() as gateway:
        async with calling(gateway, older(1)):
            pass
        await eventually(lambda: not gateway.shared.requests)
        async with gateway.client() as client:
            assert await send(client, cancelled(1)) == 202
    assert suite.authority.cancelled.empty()


async def test_a_modern_client_cancels_by_closing_and_not_by_an_id(suite: World) -> None:
    suite.authority.judge = nothing
    given = headers("notifications/cancelled", None)
    async with suite.gateway() as gateway, gateway.client() as client:
        waiting = asyncio.ensure_future(post(client, call()))
        await eventually(lambda: suite.authority.asked)
        await send(client, cancelled(7), given)
        assert suite.authority.cancelled.empty()
        waiting.cancel()
        asked = await asyncio.wait_for(suite.authority.cancelled.get(), 5)
        await asyncio.gather(waiting, return_exceptions=True)
    assert asked.reason == GONE
