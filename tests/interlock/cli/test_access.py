"""`interlock agent` and `interlock key`."""

import asyncio
import stat
from pathlib import Path

from interlock.sdk import BusAgent, Interlock, Submission
from tests.components.crm import SCOPE
from tests.components.running import Ran
from tests.components.world import World
from tests.interlock.cli.conftest import Cli

SEARCH = ("task", "submit", "crm", "search_opportunities", "{}")


def test_an_agent_is_added_with_its_permissions_and_calls_with_its_key(
    operator: Cli, governed: World
) -> None:
    operator.ok("agent", "add", "anna", "--permission", SCOPE, "--with-approval", "crm:delete")
    shown = operator.json("agent", "show", "anna")
    assert (shown["permissions"], shown["with_approval"]) == ([SCOPE], ["crm:delete"])
    assert "anna" in operator.ok("agent", "list").out
    made = operator.ok("key", "create", "--agent", "anna", "--expires", "1d")
    anna = Cli(("--url", governed.suite.url, "--token", made.out.strip()))
    anna.ok(*SEARCH)
    listed = {one["key_id"]: one for one in operator.json("key", "list")}
    (own,) = (one for one in listed.values() if one["principal"]["name"] == "anna")
    assert own["expires_at"] is not None
    assert made.out.strip() not in str(listed)
    operator.ok("key", "revoke", own["key_id"])
    assert anna(*SEARCH).code == 1


def test_permissions_are_replaced(operator: Cli) -> None:
    operator.ok("agent", "add", "berta", "--permission", "a", "--permission", "b")
    operator.ok("agent", "permit", "berta", "--permission", "c")
    assert operator.json("agent", "show", "berta")["permissions"] == ["c"]
    (given,) = operator.json("policy", "permissions", "berta")
    assert given["permissions"] == ["c"]


def test_a_disabled_agent_gets_nothing(operator: Cli, governed: World) -> None:
    operator.ok("agent", "add", "carla", "--permission", SCOPE)
    key = operator.json("key", "create", "--agent", "carla")["key"]
    operator.ok("agent", "disable", "carla")
    ran = Cli(("--url", governed.suite.url, "--token", key))(*SEARCH)
    assert ran.code == 1


def test_an_agent_twice_or_with_a_bad_name_is_refused(operator: Cli) -> None:
    operator.ok("agent", "add", "dora")
    assert "registered already" in operator("agent", "add", "dora").err
    assert operator("agent", "add", "No Name").code == 1


def test_a_person_gets_a_key_with_roles(operator: Cli, governed: World) -> None:
    key = operator.json("key", "create", "--person", "eva", "--role", "auditor")["key"]
    eva = Cli(("--url", governed.suite.url, "--token", key))
    eva.ok("audit", "list", "--limit", "1")
    assert eva("key", "list").code == 0
    assert eva("key", "create", "--person", "eva", "--role", "admin").code == 1


def test_a_key_is_for_an_agent_or_a_person(operator: Cli) -> None:
    assert operator("key", "create").code == 2
    assert operator("key", "create", "--agent", "a", "--person", "b").code == 2
    assert operator("key", "create", "--person", "b", "--expires", "soon").code == 2


async def test_an_agent_publishes_to_the_bus_with_the_key_that_was_made(
    operator: Cli, governed: World, tmp_path: Path
) -> None:
    file = tmp_path / "frida.key.json"
    added = await _added(operator, "frida", file)
    assert added.code == 0, added
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with (
        BusAgent.from_file(governed.suite.bus_url, file) as agent,
        Interlock(governed.suite.url, governed.suite.operator_key) as client,
    ):
        wanted = Submission("ref-1", "crm", "search_opportunities", {"query": "contoso"})
        tasks = await agent.submit([wanted, wanted])
        assert tasks == [agent.task_id("ref-1")] * 2
        handle = client.task(tasks[0])
        await handle.accepted()
        outcome = await handle.outcome()
    assert outcome.succeeded
    assert "Plant monitoring" in outcome.text
    assert (await _added(operator, "gerda", file)).code == 2, "a key file is never overwritten"


async def _added(operator: Cli, name: str, file: Path) -> Ran:
    """A command runs a loop of its own."""
    words = ("agent", "add", name, "--permission", SCOPE, "--bus-key", str(file))
    return await asyncio.to_thread(operator, *words)
