"""A session's own stream (GET, 2025-11-25): what its server says unasked."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interlock.state import CATALOGUE
from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway, World, server, tool
from tests.services.gateway.http.raw import frames, post
from tests.services.gateway.http.sitting import (
    IN_TIME,
    OLDER,
    STICKY,
    Call,
    handshake,
    request,
    sitting,
)
from tests.services.gateway.http.test_features import NOTE, SECRET_NOTE
from tests.services.gateway.http.test_subscriptions import offer, update

ROUTE = "/servers/crm/mcp"


@pytest.fixture
async def gateway(suite: World) -> AsyncIterator[Gateway]:
    async with suite.gateway(STICKY) as running:
        yield running


async def ended(stream: Call) -> None:
    """The stream is over, and told nothing before."""
    async with asyncio.timeout(IN_TIME):
        assert [message async for _, message in stream.told if message is not None] == []


async def test_the_handshake_says_that_lists_are_told_of(gateway: Gateway) -> None:
    async with gateway.client() as http:
        told = await post(http, handshake(), headers=OLDER)
    capabilities = json.loads(told.text.split("data: ")[1])["result"]["capabilities"]
    changing = {name for name, one in capabilities.items() if one.get("listChanged")}
    assert changing == {"tools", "prompts", "resources"}
    assert capabilities["resources"]["subscribe"]


async def test_a_change_of_the_callers_list_is_told(gateway: Gateway) -> None:
    async with sitting(gateway) as client, client.stream() as stream:
        gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", tool("lookup")))
        assert await stream.next() == {
            "jsonrpc": "2.0",
            "method": "notifications/tools/list_changed",
        }


async def test_a_resource_that_was_subscribed_to_is_told_of_on_whichever_replica(
    suite: World,
) -> None:
    async with suite.gateway(STICKY) as one, suite.gateway(STICKY) as two, two.client() as other:
        offer(one, "crm:read")
        async with sitting(one, path=ROUTE) as client:
            refused = (await client.post(request("resources/subscribe", uri=SECRET_NOTE))).text
            assert "-32602" in refused
            await client.post(request("resources/subscribe", uri=NOTE))
            headers = client.headers
            async with other.stream("GET", ROUTE, headers=headers) as response:
                told = Call(response)
                await repeated(two, told, NOTE)
                await client.post(request("resources/unsubscribe", uri=NOTE))


async def repeated(gateway: Gateway, stream: Call, uri: str) -> None:
    """Updates, until one is told: a stream hears only what happens once it listens."""
    hearing = asyncio.ensure_future(stream.next())
    while not hearing.done():
        await update(gateway, uri)
        await asyncio.wait({hearing}, timeout=0.1)
    assert hearing.result()["params"] == {"uri": uri}


async def test_the_newest_stream_alone_is_told(gateway: Gateway) -> None:
    async with sitting(gateway) as client, client.stream() as older, client.stream() as newer:
        await ended(older)
        gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", tool("lookup")))
        assert (await newer.next())["method"] == "notifications/tools/list_changed"


async def test_a_stream_ends_with_its_session_and_with_its_replica(gateway: Gateway) -> None:
    async with sitting(gateway) as client, client.stream() as stream:
        await client.http.delete("/mcp", headers=client.headers)
        await ended(stream)
    async with sitting(gateway) as client, client.stream() as stream:
        gateway.host.stopping.set()
        await ended(stream)


async def test_a_silent_stream_is_kept_alive_and_keeps_its_session(suite: World) -> None:
    soon = Settings(sticky_sessions=True, keep_alive_seconds=0.1)
    async with suite.gateway(soon) as gateway, sitting(gateway) as client:
        async with client.http.stream("GET", "/mcp", headers=client.headers) as response:
            assert response.headers["content-type"] == "text/event-stream"
            assert response.headers["x-accel-buffering"] == "no"
            comments: list[Any] = []
            async for frame in frames(response):
                comments.append(frame)
                if len(comments) == 2:
                    break
    assert comments == [(":", None)] * 2


async def test_a_stream_is_asked_for_as_one(gateway: Gateway) -> None:
    async with sitting(gateway) as client:
        headers = client.headers | {"Accept": "application/json"}
        assert (await client.http.get("/mcp", headers=headers)).status_code == 406
