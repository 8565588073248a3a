"""The registry from outside, and the ends of its `inspect` tasks."""

from typing import Any

import pytest

from interlock.contracts.task import TaskKind
from interlock.identity.statements import Trust, verify_identity
from interlock.state import CATALOGUE
from tests.services.registry.rig import Rig
from tests.services.registry.test_decide import tool

SERVER: dict[str, Any] = {
    "name": "crm",
    "capability": "the sales pipeline",
    "owner_team": "sales-it",
    "technical_owner": "olga",
    "environment": "production",
    "connection": {"transport": "streamable-http", "url": "http://crm.test/mcp"},
    "required_scopes": ["crm:read"],
}


async def registered(rig: Rig, **changes: Any) -> None:
    async with rig.client("olga", "owner") as owner:
        answer = await owner.post("/v1/servers", json=SERVER | changes)
        assert answer.status_code == 201, answer.text


async def test_registering_asks_the_upstream_by_a_task_that_the_registry_signs(rig: Rig) -> None:
    await registered(rig)
    (asked,) = rig.asked()
    assert asked.task.kind is TaskKind.INSPECT
    assert (
        asked.arguments
        == '{"transport":"streamable-http","url":"http://crm.test/mcp","credential":null}'
    )
    assert asked.task.principal.label == "service:registry for olga"
    verify_identity(Trust.of(rig.signer), asked.identity, asked.task)


async def test_the_answer_pins_the_tools_and_publishes_the_catalogue(rig: Rig) -> None:
    await registered(rig)
    await rig.answer(rig.asked()[0].task, tool(), tool("export"))
    await rig.reader.load()
    record = rig.reader.view(CATALOGUE).get("acme", "crm")
    assert record is not None
    assert [one.name for one in record.tools] == ["search", "export"]
    assert record.inspected_at is not None


async def test_an_answer_that_is_delivered_twice_changes_nothing_the_second_time(rig: Rig) -> None:
    await registered(rig)
    task = rig.asked()[0].task
    await rig.answer(task, tool())
    before = await rig.registry.found("acme", "crm")
    await rig.answer(task, tool())
    assert await rig.registry.found("acme", "crm") == before


async def test_the_end_of_an_older_inspection_is_ignored(rig: Rig) -> None:
    await registered(rig)
    async with rig.client("olga", "owner") as owner:
        assert (await owner.post("/v1/servers/crm/inspect")).status_code == 202
    older, newer = (asked.task for asked in rig.asked())
    await rig.answer(newer, tool("new"))
    await rig.answer(older, tool("old"))
    entry = await rig.registry.found("acme", "crm")
    assert [one.name for one in entry.record.tools] == ["new"]


async def test_a_failed_inspection_is_told_where_the_owner_looks(rig: Rig) -> None:
    await registered(rig)
    await rig.fail(rig.asked()[0].task, "connection refused")
    async with rig.client("olga", "owner") as owner:
        shown = (await owner.get("/v1/servers/crm")).json()
    assert shown["inspect_error"] == "connection refused"
    assert not shown["inspected"]


async def test_an_unreadable_definition_is_told_and_nothing_is_taken(rig: Rig) -> None:
    await registered(rig)
    await rig.answer(rig.asked()[0].task, '{"no": "name"}')
    entry = await rig.registry.found("acme", "crm")
    assert entry.inspect_error is not None
    assert entry.record.tools == ()


async def test_a_bad_request_names_all_that_is_wrong(rig: Rig) -> None:
    async with rig.client("olga", "owner") as owner:
        answer = await owner.post(
            "/v1/servers", json=SERVER | {"name": "Not_A_Name", "risk": "huge", "surprise": 1}
        )
    assert answer.status_code == 422
    assert {one["at"] for one in answer.json()["violations"]} == {"/name", "/risk", "/surprise"}


async def test_a_second_server_of_the_same_address_is_warned_of(rig: Rig) -> None:
    await registered(rig)
    async with rig.client("olga", "owner") as owner:
        answer = await owner.post("/v1/servers", json=SERVER | {"name": "crm-two"})
    assert answer.json()["warnings"][0]["server"] == "crm"


async def test_a_taken_name_is_a_conflict(rig: Rig) -> None:
    await registered(rig)
    async with rig.client("olga", "owner") as owner:
        assert (await owner.post("/v1/servers", json=SERVER)).status_code == 409


@pytest.mark.parametrize("roles", [(), ("agent",), ("auditor",)])
async def test_only_owners_and_operators_register(rig: Rig, roles: tuple[str, ...]) -> None:
    async with rig.client("eve", *roles) as nobody:
        answer = await nobody.post("/v1/servers", json=SERVER)
    assert answer.status_code == 403


async def test_without_a_token_the_door_says_where_to_get_one(rig: Rig) -> None:
    async with rig.client("eve") as nobody:
        answer = await nobody.get("/v1/servers", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert "resource_metadata" in answer.headers["WWW-Authenticate"]


async def test_an_approval_is_a_reviewers_and_the_history_says_whose(rig: Rig) -> None:
    await registered(rig)
    await rig.answer(rig.asked()[0].task, tool())
    async with (
        rig.client("olga", "owner") as owner,
        rig.client("rita", "reviewer") as rita,
    ):
        for to in ("submitted", "security_review"):
            assert (await owner.post("/v1/servers/crm/move", json={"to": to})).is_success
        refused = await owner.post("/v1/servers/crm/move", json={"to": "approved_dev"})
        assert refused.status_code == 403
        moved = await rita.post("/v1/servers/crm/move", json={"to": "approved_dev"})
        assert moved.json()["lifecycle"] == "approved_dev"
        history = (await owner.get("/v1/servers/crm/history")).json()["history"]
    assert (history[-1]["by"], history[-1]["what"]) == (
        "person:rita",
        "security_review -> approved_dev",
    )


async def test_an_illegal_move_names_the_legal_ones(rig: Rig) -> None:
    await registered(rig)
    async with rig.client("root", "admin") as admin:
        answer = await admin.post("/v1/servers/crm/move", json={"to": "monitored"})
    assert answer.status_code == 409
    assert answer.json()["legal"] == ["retired", "submitted"]


async def test_an_edit_keeps_what_it_does_not_name(rig: Rig) -> None:
    await registered(rig)
    await rig.answer(rig.asked()[0].task, tool())
    async with rig.client("olga", "owner") as owner:
        answer = await owner.patch(
            "/v1/servers/crm", json={"risk": "high", "tools": {"search": {"repeatable": True}}}
        )
    shown = answer.json()
    assert (shown["risk"], shown["capability"]) == ("high", SERVER["capability"])
    assert shown["tools"][0]["repeatable"] is True


async def test_servers_of_another_tenant_are_not_there(rig: Rig) -> None:
    await registered(rig)
    with pytest.raises(Exception, match="there is no server"):
        await rig.registry.found("other", "crm")


async def test_an_owner_does_not_weaken_what_was_approved(rig: Rig) -> None:
    await registered(rig, risk="high")
    await rig.answer(rig.asked()[0].task, tool())
    weaker: list[dict[str, Any]] = [
        {"risk": "low"},
        {"required_scopes": []},
        {"technical_owner": "rita"},
        {"tools": {"search": {"repeatable": True}}},
    ]
    async with rig.client("olga", "owner") as owner, rig.client("rita", "reviewer") as rita:
        for to in ("submitted", "security_review"):
            await owner.post("/v1/servers/crm/move", json={"to": to})
        await rita.post("/v1/servers/crm/move", json={"to": "approved_dev"})
        for change in weaker:
            assert (await owner.patch("/v1/servers/crm", json=change)).status_code == 403, change
        harmless = {
            "description": "more",
            "risk": "high",
            "tools": {
                "search": {"timeout_seconds": 5, "execution": "task", "inline_seconds": 2},
            },
        }
        changed = await owner.patch("/v1/servers/crm", json=harmless)
        assert changed.status_code == 200
        (shown,) = changed.json()["tools"]
        assert (shown["execution"], shown["inline_seconds"]) == ("task", 2.0)
        unheard = {"tools": {"search": {"execution": "whenever"}}}
        assert (await owner.patch("/v1/servers/crm", json=unheard)).status_code == 422
    async with rig.client("root", "admin") as admin:
        assert (await admin.patch("/v1/servers/crm", json={"risk": "low"})).status_code == 200
