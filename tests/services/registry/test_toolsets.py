"""Toolsets from outside, and what is published of them."""

from typing import Any

from interlock.state import TOOLSETS
from tests.services.registry.rig import Rig
from tests.services.registry.test_decide import tool
from tests.services.registry.test_door import registered

SALES = {"name": "sales", "tools": [{"server": "crm", "tool": "search"}]}


async def offered(rig: Rig) -> None:
    """A server that offers two tools."""
    await registered(rig)
    await rig.answer(rig.asked()[0].task, tool(), tool("export"))


async def create(rig: Rig, **changes: Any) -> Any:
    async with rig.client("olga", "owner") as owner:
        return await owner.post("/v1/toolsets", json=SALES | changes)


async def test_a_toolset_is_published_stated_and_shown(rig: Rig) -> None:
    await offered(rig)
    answer = await create(rig, description="for sellers")
    assert (answer.status_code, answer.json()["url"]) == (201, "/toolsets/sales/mcp")
    await rig.reader.load()
    record = rig.reader.view(TOOLSETS).get("acme", "sales")
    assert record is not None
    assert record.has("crm", "search")
    assert not record.has("crm", "export")
    stated = [raw.attributes["ce_type"] for raw in rig.bus.published]
    assert "interlock.toolset.published.v1" in stated
    async with rig.client("rita", "agent") as reader:
        listed = (await reader.get("/v1/toolsets")).json()["toolsets"]
        assert listed == [(await reader.get("/v1/toolsets/sales")).json()]


async def test_a_name_is_taken_until_its_toolset_is_deleted(rig: Rig) -> None:
    await offered(rig)
    await create(rig)
    taken = await create(rig, description="another")
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    async with rig.client("olga", "owner") as owner:
        assert (await owner.delete("/v1/toolsets/sales")).status_code == 204
        assert (await owner.delete("/v1/toolsets/sales")).status_code == 404
        await rig.reader.load()
        assert rig.reader.view(TOOLSETS).get("acme", "sales") is None
    assert (await create(rig, description="again")).status_code == 201
    await rig.reader.load()
    again = rig.reader.view(TOOLSETS).get("acme", "sales")
    assert again is not None
    assert again.description == "again"


async def test_a_tool_that_nobody_offers_or_that_is_there_twice_is_named(rig: Rig) -> None:
    await offered(rig)
    tools = [*SALES["tools"], *SALES["tools"], {"server": "erp", "tool": "search"}]
    refused = await create(rig, tools=tools)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "`search` of server `crm`, `search` of server `erp`" in refused.json()["detail"]


async def test_who_may_not_write_servers_may_not_write_toolsets(rig: Rig) -> None:
    await offered(rig)
    async with rig.client("anna", "agent") as agent:
        assert (await agent.post("/v1/toolsets", json=SALES)).status_code == 403
        assert (await agent.delete("/v1/toolsets/sales")).status_code == 403
