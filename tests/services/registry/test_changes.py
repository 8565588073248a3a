"""What the registry does about an upstream that changes."""

from interlock.contracts.catalogue import Lifecycle
from interlock.contracts.task import TaskKind
from interlock.contracts.upstream_events import UpstreamList, UpstreamListChanged
from interlock.identity.statements import Trust, verify_identity
from interlock.testing.build import person, sent
from tests.services.registry.rig import Rig
from tests.services.registry.test_decide import tool
from tests.services.registry.test_door import registered

CHANGED = UpstreamListChanged(
    tenant="acme", server="crm", lists=(UpstreamList.TOOLS, UpstreamList.PROMPTS)
)


async def approved(rig: Rig, *tools: str) -> None:
    """The server is callable, and nothing is under way."""
    await registered(rig)
    await rig.answer(rig.asked()[0].task, *tools)
    for state in (Lifecycle.SUBMITTED, Lifecycle.SECURITY_REVIEW, Lifecycle.APPROVED_DEV):
        entry = await rig.registry.found("acme", "crm")
        await rig.registry.move(entry, state, person("rita"), "fine", None)


async def change(rig: Rig) -> None:
    assert await rig.registry.changed(sent(CHANGED, "invocation")) == []
    await rig.relay.flush()


async def test_a_changed_upstream_is_looked_at_by_the_registry_itself(rig: Rig) -> None:
    await approved(rig, tool())
    await change(rig)
    asked = rig.asked()[-1]
    assert len(rig.asked()) == 2
    assert asked.task.kind is TaskKind.INSPECT
    assert asked.task.principal.label == "service:registry for registry"
    verify_identity(Trust.of(rig.signer), asked.identity, asked.task)
    history = await rig.registry.servers.history("acme", "crm")
    assert history[-1].reason == "the upstream changed its tools, prompts"


async def test_many_changes_during_a_look_are_answered_by_one_more(rig: Rig) -> None:
    await approved(rig, tool())
    for _ in range(5):
        await change(rig)
    assert len(rig.asked()) == 2
    await rig.answer(rig.asked()[1].task, tool())
    assert len(rig.asked()) == 3
    await rig.answer(rig.asked()[2].task, tool(), tool("export"))
    assert len(rig.asked()) == 3
    await change(rig)
    assert len(rig.asked()) == 4


async def test_a_look_that_fails_is_repeated_where_something_changed_meanwhile(rig: Rig) -> None:
    await approved(rig, tool())
    await change(rig)
    await change(rig)
    await rig.fail(rig.asked()[1].task, "it is away")
    assert len(rig.asked()) == 3
    await rig.fail(rig.asked()[2].task, "it is away")
    assert len(rig.asked()) == 3
    assert (await rig.registry.found("acme", "crm")).inspect_error == "it is away"


async def test_a_changed_definition_is_withheld_as_on_any_look(rig: Rig) -> None:
    await approved(rig, tool(), tool("export"))
    await change(rig)
    await rig.answer(rig.asked()[-1].task, tool(description="other"))
    entry = await rig.registry.found("acme", "crm")
    assert [one.name for one in entry.pending] == ["search"]
    assert entry.record.tools == ()


async def test_a_server_that_nobody_may_call_or_knows_is_not_looked_at(rig: Rig) -> None:
    await registered(rig)
    await change(rig)
    assert len(rig.asked()) == 1
    other = CHANGED.model_copy(update={"server": "erp"})
    assert await rig.registry.changed(sent(other, "invocation")) == []
