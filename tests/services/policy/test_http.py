"""Policy's door: rights, tenants, versions, and answers that say what is wrong where."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from interlock.bus import MemoryBus
from interlock.contracts.access import ApiKeyRecord
from interlock.contracts.task import Principal, digest_of
from interlock.identity.tokens import Tokens
from interlock.runtime.relay import Relay
from interlock.state import AGENTS, API_KEYS, ISSUERS, POLICY, REVOCATIONS, USERS
from interlock.state.memory import MemoryState, MemoryStateReader, MemoryStateWriter
from interlock.storage import Database, migrate
from interlock.testing import build
from services.policy.http import PolicyDoor, TaskDoor
from services.policy.store import SqlDecisions, SqlSets
from tests.services.policy.world import BIG, HOLD_BIG, World, asked, task, types

HELD = task(arguments=BIG)
PEOPLE = {
    "admin": (build.person("adam"), ("admin",)),
    "manager": (build.person("maria"), ("sales-manager",)),
    "auditor": (build.person("audrey"), ("auditor",)),
    "nobody": (build.person("noah"), ()),
    "stranger": (build.person("adam", tenant="other"), ("admin", "sales-manager")),
}


@dataclass
class Door:
    """The service behind its door, everything real but bus and Redis."""

    world: World
    bus: MemoryBus
    client: httpx2.AsyncClient

    async def call(self, who: str, method: str, path: str, **sent: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer ilk_{who}_secret"} | sent.pop("headers", {})
        answer = await self.client.request(method, f"/policy/v1{path}", headers=headers, **sent)
        return answer.status_code, answer.json() if answer.content else None


def api_key(name: str, principal: Principal, roles: tuple[str, ...]) -> ApiKeyRecord:
    return ApiKeyRecord(
        tenant=principal.tenant,
        key_id=name,
        secret_digest=digest_of("secret"),
        principal=principal,
        roles=roles,
    )


@pytest.fixture
async def door(sqlite_url: str) -> AsyncIterator[Door]:
    database = Database(sqlite_url)
    await migrate(database, "services.policy.migrations")
    state, bus = MemoryState(), MemoryBus(build.KEYRING, build.noon)
    world = await World(SqlDecisions(database), SqlSets(database), state).start()
    for name, (principal, roles) in PEOPLE.items():
        state.publish(API_KEYS, principal.tenant, name, api_key(name, principal, roles))
    reader = MemoryStateReader(state, [AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS])
    await reader.load()
    tokens = Tokens(reader, audiences=("http://interlock.test",), now=build.noon)
    relay = Relay(database, bus, MemoryStateWriter(state), build.noon)
    routes = [
        *TaskDoor(world.approvals, relay, tokens).routes(),
        *PolicyDoor(world.rulebook, relay, tokens).routes(),
    ]
    transport = httpx2.ASGITransport(app=Starlette(routes=[Mount("/policy", routes=routes)]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://interlock.test") as client:
        yield Door(world, bus, client)
    await database.close()


async def test_a_hold_is_seen_with_its_exact_arguments_and_approved(door: Door) -> None:
    await door.world.tasks.judge(asked(arguments=BIG))
    status, shown = await door.call("manager", "GET", "/approvals")
    (hold,) = shown["approvals"]
    assert (status, hold["arguments"], hold["because"]) == (200, BIG, ["big-export"])
    assert hold["digest"] == HELD.request_digest
    said = {"reason": "fine", "digest": hold["digest"]}
    status, row = await door.call("manager", "POST", f"/tasks/{HELD.id}/approve", json=said)
    assert (status, row["state"]) == (200, "authorized")
    stated = [raw for raw in door.bus.published if raw.topic != "state.changed"]
    assert sorted(types(stated)) == ["approved", "authorized"]
    status, shown = await door.call("auditor", "GET", f"/decisions/{HELD.id}")
    assert [one["state"] for one in shown["decisions"]] == ["authorized"]
    assert [(one["by"], one["answer"]) for one in shown["answers"]] == [
        ("person:maria", "approved")
    ]
    status, problem = await door.call("manager", "POST", f"/tasks/{HELD.id}/refuse")
    assert (status, problem["code"], problem["state"]) == (409, "conflict", "authorized")


async def test_a_refusal_is_on_the_bus_before_the_answer(door: Door) -> None:
    await door.world.tasks.judge(asked(arguments=BIG))
    status, row = await door.call("manager", "POST", f"/tasks/{HELD.id}/refuse", json={})
    assert (status, row["state"], row["code"]) == (200, "denied", "refused")
    assert types(raw for raw in door.bus.published if raw.topic == "task.events") == ["denied"]


async def test_a_bus_that_is_away_is_503_and_the_answer_goes_out_later(door: Door) -> None:
    await door.world.tasks.judge(asked(arguments=BIG))
    door.bus.away = True
    status, problem = await door.call("manager", "POST", f"/tasks/{HELD.id}/approve")
    assert (status, problem["code"]) == (503, "saved")
    assert problem["detail"].startswith("it is saved, and will be published")
    door.bus.away = False
    status, problem = await door.call("manager", "POST", f"/tasks/{HELD.id}/approve")
    assert (status, problem["state"]) == (409, "authorized")


@pytest.mark.parametrize(
    ("who", "status"),
    [("nobody", 403), ("auditor", 403), ("admin", 403), ("stranger", 404)],
)
async def test_who_may_not_answer(door: Door, who: str, status: int) -> None:
    await door.world.tasks.judge(asked(arguments=BIG))
    for answer in ("approve", "refuse"):
        found, problem = await door.call(who, "POST", f"/tasks/{HELD.id}/{answer}")
        assert found == status, problem
    assert (await door.world.row(HELD)).state == "held"


@pytest.mark.parametrize(
    ("who", "seen"),
    [("admin", 1), ("auditor", 1), ("manager", 1), ("nobody", 0), ("stranger", 0)],
)
async def test_holds_are_seen_by_those_who_may(door: Door, who: str, seen: int) -> None:
    await door.world.tasks.judge(asked(arguments=BIG))
    status, shown = await door.call(who, "GET", "/approvals")
    assert (status, len(shown["approvals"])) == (200, seen)


async def test_a_policy_is_put_shown_checked_and_taken_away(door: Door) -> None:
    text = '@id("closed") forbid (principal, action, resource);'
    status, made = await door.call("admin", "PUT", "/policies/closed", json={"text": text})
    assert (status, made["version"], made["by"]) == (200, 3, "person:adam")
    entry = door.world.state.entries[POLICY.name, "acme", "set"]
    assert entry.body is not None
    assert b"closed" in entry.body
    status, raw = await door.call("admin", "PUT", "/policies/closed", content=text.encode())
    assert (status, raw["version"]) == (200, 3)
    status, shown = await door.call("auditor", "GET", "/policies")
    assert [one["name"] for one in shown["policies"]] == ["closed", "exports"]
    assert "builtin/calls" in {one["name"] for one in shown["builtin"]}
    status, one = await door.call("auditor", "GET", "/policies/closed")
    assert (status, one["text"]) == (200, text)
    status, gone = await door.call("admin", "DELETE", "/policies/closed")
    assert (status, gone["version"]) == (200, 4)
    assert (await door.call("auditor", "GET", "/policies/closed"))[0] == 404
    status, old = await door.call("auditor", "GET", "/policies/closed?version=3")
    assert (status, old["text"], old["version"]) == (200, text, 3)
    status, history = await door.call("auditor", "GET", "/policy-versions")
    assert [one["version"] for one in history["versions"]] == [4, 3, 2, 1]


async def test_a_wrong_policy_is_refused_with_its_line_and_column(door: Door) -> None:
    wrong = {"text": "permit (principal, action, resource)\nwhen { a b };"}
    status, problem = await door.call("admin", "PUT", "/policies/wrong", json=wrong)
    assert (status, problem["code"]) == (422, "invalid_policy")
    assert problem["faults"] == [
        {"file": "wrong.cedar", "line": 2, "column": 10, "message": "unexpected token `b`"}
    ]
    candidates = {"policies": [{"name": "wrong", **wrong}]}
    status, checked = await door.call("auditor", "POST", "/policies/check", json=candidates)
    assert (status, checked["valid"]) == (200, False)
    assert checked["faults"] == problem["faults"]
    candidates = {"policies": [{"name": "exports", "text": HOLD_BIG}]}
    status, checked = await door.call("auditor", "POST", "/policies/check", json=candidates)
    assert checked["valid"]
    assert {"id": "big-export", "place": "exports.cedar:2:1", "forbids": True} in checked["rules"]
    assert (await door.call("auditor", "GET", "/policies"))[1]["version"] == 2


async def test_permissions_are_given_and_shown(door: Door) -> None:
    given = {"permissions": ["crm:read"], "with_approval": ["crm:export"]}
    status, made = await door.call("admin", "PUT", "/permissions/deal-desk", json=given)
    assert (status, made["version"]) == (200, 3)
    status, shown = await door.call("auditor", "GET", "/permissions")
    assert {"agent": "deal-desk", **given} in shown["permissions"]
    status, old = await door.call("auditor", "GET", "/permissions?version=2")
    assert [one["agent"] for one in old["permissions"]] == ["sales-copilot"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/policies/Bad%20Name", {"text": "x"}, 422),
        ("PUT", "/policies/a", {"txt": "x"}, 422),
        ("PUT", "/policies/a", {"text": "x" * 300_000}, 422),
        ("PUT", "/permissions/Bad_Name", {}, 422),
        ("PUT", "/permissions/a", {"permissions": [""]}, 422),
        ("PUT", "/permissions/a", {"permissions": "crm:read"}, 422),
        ("DELETE", "/policies/nothing", None, 404),
        ("GET", "/policies?version=77", None, 404),
        ("GET", "/policies?version=x", None, 404),
        ("GET", "/decisions/nothing", None, 404),
        ("POST", "/tasks/nothing/approve", {}, 404),
        ("POST", "/tasks/nothing/approve", {"why": "x"}, 422),
    ],
)
async def test_bad_requests_are_told(
    door: Door, method: str, path: str, body: object, status: int
) -> None:
    found, problem = await door.call("admin", method, path, json=body)
    assert (found, problem["status"]) == (status, status)
    assert problem["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/policies/a"),
        ("DELETE", "/policies/exports"),
        ("PUT", "/permissions/sales-copilot"),
    ],
)
async def test_only_who_may_write_policies_does(door: Door, method: str, path: str) -> None:
    for who in ("auditor", "manager", "nobody"):
        assert (await door.call(who, method, path, json={}))[0] == 403
    answer = await door.client.request(method, f"/policy/v1{path}", json={})
    assert answer.status_code == 401
    assert door.world.rulebook.of("acme").version == 2


async def test_text_that_is_no_utf8_and_a_body_too_large_are_refused(door: Door) -> None:
    assert (await door.call("admin", "PUT", "/policies/a", content=b"\xff"))[0] == 422
    assert (await door.call("admin", "PUT", "/policies/a", content=b"/" * 300_000))[0] == 413
