"""REST, over real sockets."""

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from interlock.bus import Effects, Envelope, Raw
from interlock.contracts.outcomes import DoorRefused, TaskDenied, TaskHeld
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.task import request_digest
from interlock.contracts.topics import Topic
from interlock.identity.statements import verify_identity
from interlock.testing import build
from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway, World, eventually, key_of

CALL: dict[str, Any] = {"server": "crm", "tool": "search", "arguments": {"query": "acme"}}
WAIT = {"Prefer": "wait=10"}


async def nothing(envelope: Envelope[TaskAuthenticated]) -> Effects:
    return ()


async def hold(envelope: Envelope[TaskAuthenticated]) -> Effects:
    held = build.held(envelope.body.task)
    assert isinstance(held, TaskHeld)
    return [held]


async def deny(envelope: Envelope[TaskAuthenticated]) -> Effects:
    denied = build.denied(envelope.body.task)
    assert isinstance(denied, TaskDenied)
    return [denied]


def refusals(gateway: Gateway) -> list[DoorRefused]:
    raws: list[Raw] = [r for r in gateway.bus.published if r.topic is Topic.TASK_EVENTS]
    return [
        DoorRefused.model_validate_json(raw.body)
        for raw in raws
        if raw.attributes["ce_type"] == DoorRefused.type
    ]


async def refused_with(gateway: Gateway, code: str) -> DoorRefused:
    return await eventually(
        lambda: next((one for one in refusals(gateway) if one.code == code), None)
    )


async def test_a_task_is_accepted_with_its_place_and_then_succeeds(gateway: Gateway) -> None:
    async with gateway.client() as client:
        accepted = await client.post("/v1/tasks", json=CALL)
        assert accepted.status_code == 202
        assert accepted.json()["state"] in ("submitted", "succeeded")
        url = accepted.headers["location"]
        assert url == f"{gateway.url}/v1/tasks/{accepted.json()['id']}"
        shown = (await client.get(url, headers=WAIT)).json()
    assert shown["state"] == "succeeded"
    assert json.loads(shown["result"]["content"][0]["text"]) == {"query": "acme"}


async def test_who_waits_gets_the_outcome_itself(gateway: Gateway) -> None:
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL, headers=WAIT)
    assert (told.status_code, told.headers["preference-applied"]) == (200, "wait=10")
    assert told.json()["state"] == "succeeded"


async def test_a_wait_that_ends_before_the_task_is_202(gateway: Gateway) -> None:
    gateway.authority.judge = hold
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL, headers={"Prefer": "wait=1"})
    assert told.status_code == 202
    assert told.json()["state"] == "held"
    assert told.json()["approvers"] == ["sales-manager"]


async def test_the_statement_and_the_digest_cover_the_exact_text(gateway: Gateway) -> None:
    exact = '{"query":  "a\\u00e9",\n "limit": 10}'
    body = f'{{"server":"crm","tool":"search","arguments": {exact} }}'
    async with gateway.client() as client:
        assert (await client.post("/v1/tasks", content=body, headers=WAIT)).status_code == 200
    (asked,) = gateway.authority.asked
    task = asked.body.task
    assert asked.body.arguments == exact
    assert task.request_digest == request_digest(task.kind, "crm", "search", exact)
    assert verify_identity(gateway.host.trust, asked.body.identity, task).roles == ("agent",)
    assert asked.traceparent is not None


async def test_the_trace_of_the_caller_goes_on(gateway: Gateway) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = WAIT | {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    async with gateway.client() as client:
        await client.post("/v1/tasks", json=CALL, headers=headers)
    assert trace in (gateway.authority.asked[0].traceparent or "")


@pytest.mark.promise("idempotent")
async def test_a_key_is_one_task_whatever_is_repeated(gateway: Gateway) -> None:
    headers = WAIT | {"Idempotency-Key": "order-1"}
    async with gateway.client() as client:
        first, second = [
            (await client.post("/v1/tasks", json=CALL, headers=headers)).json() for _ in range(2)
        ]
        other = CALL | {"arguments": {"query": "other"}}
        third = await client.post("/v1/tasks", json=other, headers=headers)
    assert first["id"] == second["id"]
    assert (third.status_code, third.json()["code"]) == (422, "key_reused")
    assert len(gateway.authority.asked) == 1
    async with gateway.client("other") as client:
        gateway.authority.judge = deny
        theirs = await client.post("/v1/tasks", json=CALL, headers=headers)
    assert theirs.json()["id"] != first["id"]


async def test_a_deadline_is_what_was_asked_for_within_the_doors_own(suite: World) -> None:
    async with suite.gateway(Settings(task_deadline_seconds=100)) as gateway:
        async with gateway.client() as client:
            for asked, least, most in ((50, 40, 51), (1000, 90, 101)):
                body = CALL | {"deadline_seconds": asked}
                task = (await client.post("/v1/tasks", json=body)).json()
                deadline = datetime.fromisoformat(task["deadline"])
                left = deadline - datetime.fromisoformat(task["created_at"])
                assert least < left.total_seconds() < most


async def test_a_denial_names_policies_and_permissions(gateway: Gateway) -> None:
    gateway.authority.judge = deny
    async with gateway.client() as client:
        told = (await client.post("/v1/tasks", json=CALL, headers=WAIT)).json()
    assert (told["state"], told["because"]) == ("denied", ["no-exports"])
    assert "crm:export" in told["reason"]


async def test_a_tool_that_the_caller_may_not_use_is_policys_to_deny(gateway: Gateway) -> None:
    gateway.authority.judge = deny
    async with gateway.client() as client:
        body = CALL | {"tool": "export"}
        assert (await client.post("/v1/tasks", json=body, headers=WAIT)).json()["final"]
        listed = (await client.get("/v1/tools")).json()["tools"]
    assert [one["name"] for one in listed] == ["crm__search"]
    assert gateway.authority.asked[0].body.task.tool == "export"


@pytest.mark.promise("listed")
async def test_lists_follow_the_permissions_of_each(gateway: Gateway) -> None:
    async with gateway.client("other") as client:
        assert (await client.get("/v1/tools")).json()["tools"] == []


BAD = [
    (b"{", 400, "bad_request"),
    (b"[]", 400, "bad_request"),
    (b'{"server":"crm","server":"crm"}', 400, "bad_request"),
    (b'{"server":"crm","tool":"search","arguments":{"query":NaN}}', 400, "bad_request"),
    (b'{"server":"crm","tool":"search","arguments":{"query":"\\ud800"}}', 400, "bad_request"),
    (b'{"server":"crm","tool":"search","arguments":{"query":"a","query":"b"}}', 400, "bad_request"),
    (b"\xff\xfe", 400, "bad_request"),
    (b'{"server":"crm"}', 422, "invalid"),
    (b'{"server":"crm","tool":"search","arguments":{"query":"a"},"x":1}', 422, "invalid"),
    (b'{"server":"crm","tool":"search","arguments":"text"}', 422, "invalid"),
    (b'{"server":"crm","tool":"search","kind":"delegate"}', 422, "invalid"),
    (b'{"server":"crm","tool":"search","deadline_seconds":-1}', 422, "invalid"),
    (b'{"server":"crm","tool":"search","arguments":{"query":1,"limit":0}}', 422, "invalid"),
    (b'{"server":"none","tool":"search"}', 404, "not_found"),
    (b'{"server":"crm","tool":"none"}', 404, "not_found"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD)
async def test_a_bad_request_is_refused_before_the_bus_and_recorded(
    gateway: Gateway, body: bytes, status: int, code: str
) -> None:
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", content=body)
    assert (told.status_code, told.json()["code"]) == (status, code)
    assert told.headers["content-type"] == "application/problem+json"
    assert (await refused_with(gateway, code)).principal is not None
    assert gateway.authority.asked == []
    assert gateway.shared.tasks == {}


async def test_all_violations_are_named(gateway: Gateway) -> None:
    async with gateway.client() as client:
        bad = CALL | {"arguments": {"query": 1, "limit": 0}}
        told = await client.post("/v1/tasks", json=bad)
    assert [one["at"] for one in told.json()["violations"]] == ["/limit", "/query"]


@pytest.mark.parametrize("declared", [True, False])
async def test_an_oversize_body_is_413_whether_declared_or_not(
    suite: World, declared: bool
) -> None:
    async def parts() -> Any:
        for _ in range(4):
            yield b" " * 1000

    async with suite.gateway(Settings(body_limit=2000)) as gateway, gateway.client() as client:
        content = b" " * 4000 if declared else parts()
        told = await client.post("/v1/tasks", content=content)
        assert (told.status_code, told.json()["code"]) == (413, "too_large")


async def test_without_a_token_the_answer_says_where_to_get_one(gateway: Gateway) -> None:
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL, headers={"Authorization": "Bearer no"})
        del client.headers["Authorization"]
        bare = await client.get("/v1/tools")
    assert told.status_code == bare.status_code == 401
    assert 'error="invalid_token"' in told.headers["www-authenticate"]
    assert "resource_metadata=" in bare.headers["www-authenticate"]


async def test_a_missing_token_scope_is_403_at_the_door(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {key_of('narrow')}"}
    async with gateway.client() as client:
        told = await client.post("/v1/tasks", json=CALL, headers=headers)
    assert (told.status_code, told.json()["scope"]) == (403, "crm:read")
    assert gateway.authority.asked == []
    assert (await refused_with(gateway, "insufficient_scope")).tool == "search"


async def test_a_task_of_somebody_else_is_404_but_operators_see_their_tenants(
    gateway: Gateway,
) -> None:
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL, headers=WAIT)).json()
    paths = [f"/v1/tasks/{task['id']}", f"/v1/tasks/{task['id']}/events"]
    for who in ("other", "spy"):
        async with gateway.client(who) as client:
            statuses = [(await client.get(path)).status_code for path in paths]
            assert [*statuses, (await client.delete(paths[0])).status_code] == [404] * 3
            assert (await client.get("/v1/tasks")).json() == {"tasks": []}
    async with gateway.client("olga") as client:
        assert (await client.get(paths[0])).status_code == 200


async def test_the_callers_tasks_are_listed_without_results(gateway: Gateway) -> None:
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL, headers=WAIT)).json()
        listed = (await client.get("/v1/tasks")).json()["tasks"]
        assert (await client.get("/v1/tasks?limit=0")).status_code == 422
    assert [one["id"] for one in listed] == [task["id"]]
    assert "result" not in listed[0]


async def test_a_cancel_is_asked_for_by_whom_it_is(gateway: Gateway) -> None:
    gateway.authority.judge = nothing
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL)).json()
        told = await client.delete(f"/v1/tasks/{task['id']}?reason=enough")
    assert told.status_code == 202
    request = await asyncio.wait_for(gateway.authority.cancelled.get(), 5)
    assert (request.task.id, request.by.name) == (task["id"], "copilot")
    assert request.reason == "asked for over REST: enough"


async def test_an_ended_task_is_not_cancelled(gateway: Gateway) -> None:
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL, headers=WAIT)).json()
        told = await client.delete(f"/v1/tasks/{task['id']}")
    assert (told.status_code, told.json()["state"]) == (200, "succeeded")
    assert gateway.authority.cancelled.empty()
