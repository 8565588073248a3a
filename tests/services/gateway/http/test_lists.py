"""Lists of MCP: the same by every way through the door, and as each caller may see them."""

import json
from typing import Any

import httpx2
import pytest

from interlock.contracts.access import PermissionRecord, PolicySetRecord
from interlock.state import CATALOGUE, POLICY
from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway, World, server, tool
from tests.services.gateway.http.raw import ACCEPT, headers, message, post
from tests.services.gateway.http.test_features import offering

METHODS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
TOOLS = [tool(f"t{number:03d}", "crm:read") for number in range(450)]


async def listed(
    client: httpx2.AsyncClient, method: str = "tools/list", path: str = "/mcp", **more: Any
) -> dict[str, Any]:
    given = headers(method, None) | more.pop("headers", {})
    told = await post(client, message(method, **more), path=path, headers=given)
    assert told.status_code == 200, told.text
    result: dict[str, Any] = told.json()["result"]
    return result


def names(page: dict[str, Any]) -> list[str]:
    return [one["name"] for one in page["tools"]]


@pytest.mark.parametrize("path", ["/mcp", "/servers/crm/mcp"])
@pytest.mark.parametrize("method", METHODS)
async def test_the_sdk_and_the_short_way_list_the_same(
    gateway: Gateway, method: str, path: str
) -> None:
    gateway.state.publish(CATALOGUE, "acme", "crm", offering())
    async with gateway.client() as client:
        await gateway.host.reader.load()
        short = await listed(client, method, path)
        more = {"extra": 1}  # which the short way does not know
        assert await listed(client, method, path, **more) == short
    assert short[METHODS[method]]
    assert (short["cacheScope"], short["resultType"], short["ttlMs"]) == (
        "private",
        "complete",
        5000,
    )


async def test_a_definition_is_listed_with_all_that_its_server_says_of_it(gateway: Gateway) -> None:
    made = tool("search", "crm:read")
    vendor = {"vendorTop": {"π": [1, None]}, "_meta": {"ui": {"resourceUri": "ui://x"}}}
    definition = json.dumps(json.loads(made.definition) | vendor)
    changed = made.model_copy(update={"definition": definition, "digest": "0" * 64})
    gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", changed))
    async with gateway.client() as client:
        await gateway.host.reader.load()
        (one,) = (await listed(client))["tools"]
        (bare,) = (await listed(client, path="/servers/crm/mcp"))["tools"]
    assert one == json.loads(definition) | {"name": "crm__search"}
    assert bare == json.loads(definition)


async def test_a_list_follows_the_catalogue_and_each_callers_permissions(gateway: Gateway) -> None:
    search, export = tool("search", "crm:read"), tool("export", "crm:export")
    gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", search, export))
    async with gateway.client() as copilot, gateway.client("other") as other:
        await gateway.host.reader.load()
        for _ in range(2):
            assert names(await listed(copilot)) == ["crm__search"]
            assert names(await listed(other)) == []
        given = {"copilot": ("crm:export",), "other": ("crm:read",)}
        permissions = tuple(PermissionRecord(agent=k, permissions=v) for k, v in given.items())
        changed = PolicySetRecord(tenant="acme", version=2, permissions=permissions)
        gateway.state.publish(POLICY, "acme", "set", changed)
        await gateway.host.reader.load()
        assert names(await listed(copilot)) == ["crm__export"]
        assert names(await listed(other)) == ["crm__search"]
        renamed = tool("find", "crm:read")
        gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", renamed))
        await gateway.host.reader.load()
        assert names(await listed(copilot)) == []
        assert names(await listed(other)) == ["crm__find"]


@pytest.mark.parametrize("path", ["/mcp", "/servers/crm/mcp"])
@pytest.mark.parametrize("method", METHODS)
async def test_an_older_client_is_listed_the_same_in_one_answer(
    gateway: Gateway, method: str, path: str
) -> None:
    gateway.state.publish(CATALOGUE, "acme", "crm", offering())
    body = {"jsonrpc": "2.0", "id": "one", "method": method}
    async with gateway.client() as client:
        await gateway.host.reader.load()
        newest = await listed(client, method, path)
        older = ACCEPT | {"MCP-Protocol-Version": "2025-11-25"}
        told = await client.post(path, json=body, headers=older)
        by_the_sdk = await client.post(path, json=body, headers=older | {"Accept": "*/*"})
    assert told.headers["content-type"] == "application/json"
    assert told.json()["id"] == "one"
    assert told.json()["result"] == {METHODS[method]: newest[METHODS[method]]}
    assert json.loads(by_the_sdk.text.partition("data: ")[2]) == told.json()


async def test_a_page_is_as_large_as_the_operator_says_and_as_clients_take(suite: World) -> None:
    large = tool("large", "crm:read", schema={"type": "object", "description": "x" * 899_900})
    tools = [*TOOLS, large, tool("last", "crm:read")]
    suite.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", *tools))
    async with suite.gateway() as gateway, gateway.client() as client:
        found = await paged(client)
    assert [len(one) for one in found] == [1, 451]
    assert [one for page in found for one in page] == sorted(f"crm__{one.name}" for one in tools)
    async with suite.gateway(Settings(list_page=300)) as gateway, gateway.client() as client:
        assert [len(one) for one in await paged(client)] == [1, 300, 151]


async def paged(client: httpx2.AsyncClient) -> list[list[str]]:
    """The names on each page of the list of tools."""
    page = await listed(client)
    found = [names(page)]
    while "nextCursor" in page:
        page = await listed(client, cursor=page["nextCursor"])
        found.append(names(page))
    return found


async def test_a_cursor_is_a_name_and_holds_when_what_it_names_is_gone(suite: World) -> None:
    suite.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", *reversed(TOOLS)))
    async with suite.gateway(Settings(list_page=200)) as gateway, gateway.client() as client:
        await gateway.host.reader.load()
        first = await listed(client)
        assert first["nextCursor"] == names(first)[-1] == "crm__t199"
        left = [one for one in TOOLS if one.name != "t199"]
        gateway.state.publish(CATALOGUE, "acme", "crm", server("crm", "acme", *left))
        await gateway.host.reader.load()
        second = await listed(client, cursor="crm__t199")
        third = await listed(client, cursor=second["nextCursor"])
        assert "nextCursor" not in third
        assert names(second) + names(third) == [f"crm__{one.name}" for one in TOOLS[200:]]
        assert names(await listed(client, cursor="zzz")) == []
        given = headers("tools/list", None)
        wrong = await post(client, message("tools/list", cursor=7), headers=given)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32602)
