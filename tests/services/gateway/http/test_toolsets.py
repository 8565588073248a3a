"""A toolset as if it were one server."""

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from interlock.contracts.catalogue import ToolRef, ToolsetRecord
from interlock.state import CATALOGUE, TOOLSETS
from tests.services.gateway.build import Gateway, server, tool
from tests.services.gateway.http.raw import call, headers, message, post
from tests.services.gateway.http.test_features import NOTE, offering

PATH = "/toolsets/sales/mcp"


@pytest.fixture
def curated(gateway: Gateway) -> Gateway:
    """Two servers with the same tools; a toolset of one of each, and one that is not permitted."""
    tools = (tool("search", "crm:read"), tool("count", "crm:read"), tool("export", "crm:export"))
    for name in ("crm", "erp"):
        gateway.state.publish(CATALOGUE, "acme", name, server(name, "acme", *tools))
    refs = [("erp", "search"), ("crm", "count"), ("crm", "export")]
    held = tuple(ToolRef(server=one, tool=name) for one, name in refs)
    gateway.state.publish(
        TOOLSETS, "acme", "sales", ToolsetRecord(tenant="acme", name="sales", tools=held)
    )
    return gateway


@pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
async def test_it_lists_what_of_it_the_caller_may_use_and_calls_that(
    curated: Gateway, era: str
) -> None:
    async with curated.client() as http:
        transport = streamable_http_client(curated.url + PATH, http_client=http)
        async with Client(transport, mode=era) as client:
            tools = [one.name for one in (await client.list_tools()).tools]
            result = await client.call_tool("erp__search", {"query": "acme"})
    assert tools == ["crm__count", "erp__search"]
    assert result.is_error is False
    task = curated.authority.asked[0].body.task
    assert (task.server, task.tool) == ("erp", "search")


@pytest.mark.promise("toolsets")
async def test_a_tool_outside_of_it_is_refused_before_the_bus(curated: Gateway) -> None:
    body = call(name="crm__search")
    async with curated.client() as http:
        said = await post(http, body, path=PATH, headers=headers(name="crm__search"))
    assert said.json()["error"]["message"] == "toolset `sales` does not have tool `crm__search`"
    assert curated.authority.asked == []


async def test_it_offers_nothing_but_tools(curated: Gateway) -> None:
    curated.state.publish(CATALOGUE, "acme", "crm", offering())
    async with curated.client() as http:
        listed = await post(
            http, message("resources/list"), path=PATH, headers=headers("resources/list", None)
        )
        read = await post(
            http,
            message("resources/read", uri=NOTE),
            path=PATH,
            headers=headers("resources/read", NOTE),
        )
    assert listed.json()["result"]["resources"] == []
    assert read.json()["error"]["code"] == -32602


async def test_a_toolset_that_is_not_there_is_404(curated: Gateway) -> None:
    async with curated.client() as http:
        said = await post(http, call(), path="/toolsets/tea/mcp")
    assert (said.status_code, said.json()["code"]) == (404, "not_found")


async def test_its_metadata_names_its_own_resource(curated: Gateway) -> None:
    async with curated.client() as http:
        told = (await http.get(f"/.well-known/oauth-protected-resource{PATH}")).json()
    assert told["resource"] == curated.host.suite.url + PATH
