"""`interlock toolset`."""

from tests.components.world import World
from tests.interlock.cli.conftest import Cli


def test_a_toolset_is_created_shown_and_deleted(operator: Cli, governed: World) -> None:
    made = operator.ok("toolset", "create", "sales", "crm__search_opportunities")
    assert "/toolsets/sales/mcp" in made.err
    assert "search_opportunities" in made.out
    assert [one["name"] for one in operator.json("toolset", "list")] == ["sales"]
    shown = operator.json("toolset", "show", "sales")
    assert shown["tools"] == [{"server": "crm", "tool": "search_opportunities"}]
    assert operator("toolset", "create", "sales", "crm__grant_discount").code == 1
    operator.ok("toolset", "delete", "sales")
    assert operator.json("toolset", "list") == []
    assert operator("toolset", "show", "sales").code == 1


def test_a_tool_that_nobody_offers_is_named(operator: Cli, governed: World) -> None:
    ran = operator("toolset", "create", "tea", "crm__tea")
    assert ran.code == 1
    assert "`tea` of server `crm`" in ran.err
    assert operator("toolset", "create", "tea", "no-server-in-it").code == 2
