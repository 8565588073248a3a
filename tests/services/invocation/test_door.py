"""Invocation from outside: operators look, and settle what nobody knows."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from interlock.contracts.access import ApiKeyRecord
from interlock.contracts.outcomes import TaskSettled, TaskUnknown
from interlock.contracts.task import digest_of
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS, CATALOGUE, ISSUERS, REVOCATIONS, USERS
from interlock.state.memory import MemoryStateReader
from interlock.testing import build
from services.invocation.clients import Reach
from services.invocation.http import Door, routes
from services.invocation.settings import Command
from tests.services.invocation.rig import Opener, Rig, authorized, task
from tests.services.invocation.upstream import failing

EDGE = "https://interlock.example"
KINDS = (AGENTS, API_KEYS, CATALOGUE, ISSUERS, REVOCATIONS, USERS)
COMMANDS = (Command(name="clock", command="mcp-server-time", env={"SECRET": "x"}),)
SETTLE = {"outcome": "succeeded", "reason": "seen in the CRM", "result": {"content": []}}


@pytest.fixture
async def rig(opening: Opener) -> Rig:
    """One process, whose upstream loses every call."""
    return opening(failing(Reach.LOST, 99))


async def client(rig: Rig, name: str, role: str, tenant: str = "acme") -> httpx2.AsyncClient:
    """A person with this role, at the door."""
    record = ApiKeyRecord(
        tenant=tenant,
        key_id=name,
        secret_digest=digest_of("secret"),
        principal=build.person(name, tenant),
        roles=(role,),
    )
    rig.state.publish(API_KEYS, tenant, name, record)
    reader = MemoryStateReader(rig.state, KINDS)
    await reader.load()
    tokens = Tokens(reader, audiences=(EDGE,), now=rig.clock)
    door = Door(rig.journal, rig.settling, COMMANDS, tokens)
    app = Starlette(routes=[Mount("/invocation", routes=routes(door))])
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url=f"{EDGE}/invocation",
        headers={"Authorization": f"Bearer ilk_{name}_secret"},
    )


@pytest.fixture
async def operator(rig: Rig) -> AsyncIterator[httpx2.AsyncClient]:
    async with await client(rig, "otto", "operator") as operator:
        yield operator


async def unknown(rig: Rig) -> None:
    await rig.send(authorized(task(used="grant_discount")))
    assert isinstance(await rig.end(), TaskUnknown)


async def test_an_unknown_task_is_settled_once_and_by_whom(
    rig: Rig, operator: httpx2.AsyncClient
) -> None:
    await unknown(rig)
    first = await operator.post("/v1/tasks/task-1/settle", json=SETTLE)
    assert (first.status_code, first.json()["settled_as"]) == (200, "succeeded")
    (settled,) = rig.stated(TaskSettled)
    assert settled.by == build.person("otto")
    assert (settled.reason, settled.result) == ("seen in the CRM", '{"content":[]}')
    again = await operator.post("/v1/tasks/task-1/settle", json=SETTLE | {"outcome": "failed"})
    assert again.status_code == 409
    assert "settled as `succeeded`" in again.json()["detail"]
    assert len(rig.stated(TaskSettled)) == 1


async def test_only_an_unknown_task_can_be_settled(
    opening: Opener, operator: httpx2.AsyncClient
) -> None:
    answering = opening()
    await answering.send(authorized(task("fine")))
    await answering.end("fine")
    answer = await operator.post("/v1/tasks/fine/settle", json=SETTLE)
    assert answer.status_code == 409 and "only an `unknown` one" in answer.json()["detail"]
    missing = await operator.post("/v1/tasks/nowhere/settle", json=SETTLE)
    assert missing.status_code == 404


async def test_settling_while_the_bus_is_away_is_saved_and_told_later(
    rig: Rig, operator: httpx2.AsyncClient
) -> None:
    await unknown(rig)
    rig.bus.away = True
    answer = await operator.post("/v1/tasks/task-1/settle", json=SETTLE)
    assert answer.status_code == 503 and answer.json()["code"] == "saved"
    rig.bus.away = False
    rig.clock.skip(seconds=10)
    await rig.until(lambda: len(rig.stated(TaskSettled)) == 1)


async def test_settling_needs_the_right_to(rig: Rig) -> None:
    await unknown(rig)
    async with await client(rig, "ida", "auditor") as auditor:
        assert (await auditor.post("/v1/tasks/task-1/settle", json=SETTLE)).status_code == 403
        assert (await auditor.get("/v1/tasks/task-1")).status_code == 200
    async with await client(rig, "oto", "owner") as owner:
        assert (await owner.get("/v1/journal")).status_code == 403
        nobody = await owner.get("/v1/journal", headers={"Authorization": "Bearer ilk_x_y"})
        assert nobody.status_code == 401


async def test_another_tenant_sees_nothing(rig: Rig) -> None:
    await unknown(rig)
    async with await client(rig, "eve", "admin", tenant="other") as eve:
        assert (await eve.get("/v1/journal")).json() == {"tasks": []}
        assert (await eve.get("/v1/tasks/task-1")).status_code == 404
        assert (await eve.post("/v1/tasks/task-1/settle", json=SETTLE)).status_code == 404


async def test_the_journal_shows_tasks_by_state(rig: Rig, operator: httpx2.AsyncClient) -> None:
    await unknown(rig)
    (shown,) = (await operator.get("/v1/journal?state=ended")).json()["tasks"]
    assert shown["task"]["id"] == "task-1"
    assert shown["ended_as"] == "unknown"
    assert [one["outcome"] for one in shown["attempts"]] == ["lost"]
    assert (await operator.get("/v1/journal?state=ready")).json() == {"tasks": []}


@pytest.mark.parametrize("query", ["state=asleep", "limit=0", "limit=many", "limit=1001"])
async def test_a_bad_query_is_answered_in_words(operator: httpx2.AsyncClient, query: str) -> None:
    answer = await operator.get(f"/v1/journal?{query}")
    assert answer.status_code == 422 and "`" in answer.json()["detail"]


async def test_a_bad_verdict_names_all_that_is_wrong(operator: httpx2.AsyncClient) -> None:
    answer = await operator.post("/v1/tasks/task-1/settle", json={"outcome": "perhaps", "x": 1})
    assert answer.status_code == 422
    assert [one["at"] for one in answer.json()["violations"]] == ["/outcome", "/reason", "/x"]


async def test_commands_are_named_and_nothing_more_is_told(operator: httpx2.AsyncClient) -> None:
    assert (await operator.get("/v1/commands")).json() == {"commands": ["clock"]}
