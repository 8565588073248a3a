"""The CRM, driven by the SDK's own client."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from mcp import Client
from mcp.types import CallToolResult

from interlock.contracts.upstream import TASK_ID_META
from interlock.samples.crm import crm_app
from tests.interlock.samples.serving import serving

GRANT = {"opportunity_id": "opp-1", "percent": 5}


@pytest.fixture(params=[False, True], ids=["modern", "handshake"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with serving(crm_app(handshake_only=request.param)) as base:
        yield base


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def executed(http: aiohttp.ClientSession, url: str) -> dict[str, dict[str, int]]:
    async with http.get(f"{url}/control/calls") as answer:
        log: dict[str, dict[str, int]] = await answer.json()
    return log


async def test_its_annotations_say_what_may_be_repeated(url: str) -> None:
    async with Client(f"{url}/mcp") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert {name for name, hint in hints.items() if hint and hint.read_only_hint} == {
        "search_opportunities",
        "export_customers",
    }
    assert {name for name, hint in hints.items() if hint and hint.idempotent_hint} == {
        "update_stage"
    }
    assert {"request_discount", "grant_discount"} < set(hints)


async def test_each_grant_is_an_effect_counted_by_its_task(
    url: str, http: aiohttp.ClientSession
) -> None:
    async with Client(f"{url}/mcp") as client:
        meta: Any = {TASK_ID_META: "task-1"}
        for _ in range(2):
            await client.call_tool("grant_discount", GRANT, meta=meta)
        found = await client.call_tool("search_opportunities", {"query": "fleet"})
    assert (found.structured_content or {})["result"][0]["discount"] == 10
    log = await executed(http, url)
    assert log["executed"] == {"grant_discount": 2, "search_opportunities": 1}
    assert log["by_task"] == {"task-1": 2}


async def test_an_unknown_opportunity_is_an_error_of_the_tool(url: str) -> None:
    async with Client(f"{url}/mcp") as client:
        result = await client.call_tool("update_stage", {"opportunity_id": "opp-9", "stage": "won"})
    assert isinstance(result, CallToolResult)
    assert result.is_error
    assert "there is no opportunity `opp-9`" in result.model_dump_json()


async def test_a_failure_is_played_as_often_as_armed_and_then_no_more(
    url: str, http: aiohttp.ClientSession
) -> None:
    armed = {"tool": "grant_discount", "how": "error", "times": 2}
    async with http.post(f"{url}/control/failures", json=armed) as answer:
        assert answer.status == 204
    async with Client(f"{url}/mcp") as client:
        results = [await client.call_tool("grant_discount", GRANT) for _ in range(3)]
    assert [result.is_error for result in results] == [True, True, False]
    log = await executed(http, url)
    assert log["executed"] == {"grant_discount": 1}
    assert log["failed"] == {"grant_discount": 2}
    async with http.post(f"{url}/control/reset") as answer:
        assert answer.status == 204
    assert (await executed(http, url))["executed"] == {}


async def test_a_failure_that_it_does_not_know_is_refused(
    url: str, http: aiohttp.ClientSession
) -> None:
    async with http.post(f"{url}/control/failures", json={"tool": "x", "how": "y"}) as answer:
        assert answer.status == 422


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 421), ("0.0.0.0", 200)])
async def test_it_answers_to_another_name_only_where_it_listens_beyond_loopback(
    http: aiohttp.ClientSession, host: str, status: int
) -> None:
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    headers = {"Host": "crm:9101", "Accept": "application/json, text/event-stream"}
    async with (
        serving(crm_app(host=host)) as url,
        http.post(f"{url}/mcp", json=asked, headers=headers) as answer,
    ):
        assert answer.status == status
