"""`interlock server` and `interlock dead`."""

from tests.components.world import World
from tests.interlock.cli.conftest import Cli

OWNER = ("--capability", "sales", "--owner-team", "sales", "--technical-owner", "omar")


def test_a_server_is_added_inspected_and_moved(operator: Cli, governed: World) -> None:
    url = f"{governed.crm.url}/mcp"
    added = operator.ok("server", "add", "second", "--url", url, *OWNER)
    assert "grant_discount" in added.out
    assert "looks like server `crm`" in added.err
    for state in ("submitted", "security_review", "approved_dev"):
        operator.ok("server", "move", "second", state, "--reason", "test")
    assert operator.json("server", "show", "second")["lifecycle"] == "approved_dev"
    names = [one["name"] for one in operator.json("server", "list", "--lifecycle", "approved_dev")]
    assert {"crm", "second"} <= {*names}
    assert "second\tapproved_dev" in operator.ok("server", "list").out
    assert operator.json("server", "inspect", "second")["inspected"]


def test_a_tool_is_set_and_an_unknown_one_is_named(operator: Cli, governed: World) -> None:
    operator("server", "add", "fourth", "--url", f"{governed.crm.url}/mcp", *OWNER)
    options = ("--required-scope", "crm:export", "--risk", "high", "--timeout", "2m")
    shown = operator.json("server", "tool", "fourth", "export_customers", *options)
    (tool,) = (one for one in shown["tools"] if one["name"] == "export_customers")
    assert (tool["required_scopes"], tool["risk"]) == (["crm:export"], "high")
    assert (tool["timeout_seconds"], tool["repeatable"]) == (120, True)
    shown = operator.json("server", "tool", "fourth", "export_customers", "--not-repeatable")
    (tool,) = (one for one in shown["tools"] if one["name"] == "export_customers")
    assert (tool["risk"], tool["repeatable"]) == ("high", False)
    assert operator("server", "tool", "fourth", "tea", "--risk", "low").code == 1
    assert operator("server", "accept", "fourth", "tea").code == 1


def test_an_illegal_move_names_the_legal_ones(operator: Cli, governed: World) -> None:
    operator("server", "add", "third", "--url", f"{governed.crm.url}/mcp", *OWNER)
    ran = operator("server", "move", "third", "monitored")
    assert ran.code == 1
    assert "`submitted`" in ran.err


def test_a_server_that_does_not_answer_is_registered_and_the_exit_code_is_1(operator: Cli) -> None:
    ran = operator("server", "add", "mute", "--url", "http://127.0.0.1:9/mcp", *OWNER)
    assert ran.code == 1
    assert "its tools are not known yet" in ran.err
    assert operator.json("server", "show", "mute")["lifecycle"] == "draft"


def test_a_stdio_command_that_no_operator_named_is_refused(operator: Cli) -> None:
    ran = operator("server", "add", "shell", "--command", "rm", *OWNER)
    assert ran.code == 1
    assert "rm" in ran.err


def test_a_server_needs_one_connection(operator: Cli) -> None:
    assert operator("server", "add", "none", *OWNER).code == 2


def test_there_are_no_dead_letters(operator: Cli) -> None:
    assert operator.json("dead", "list") == []
    assert operator("dead", "show", "audit", "nope").code == 1
