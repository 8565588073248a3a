"""The door: who may ask, what he sees, and what bad questions get."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from interlock.bus import Arrival
from interlock.contracts.access import ApiKeyRecord
from interlock.contracts.task import Principal, PrincipalKind, digest_of
from interlock.identity import jose
from interlock.identity.statements import Trust
from interlock.identity.tokens import Tokens
from interlock.ledger import verify_export
from interlock.state import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS
from interlock.state.memory import MemoryState, MemoryStateReader
from interlock.testing import build
from services.audit.handlers import Audit
from services.audit.http import Door, routes
from tests.interlock.ledger.ledgers import story
from tests.services.audit.messages import Clock, arrived, calls

WHO = {"olga": ("default", "operator"), "ada": ("acme", "auditor"), "bob": ("acme", "owner")}
WHO |= {"eve": ("other", "auditor")}


async def tokens(clock: Clock) -> Tokens:
    state = MemoryState()
    for name, (tenant, role) in WHO.items():
        who = Principal(tenant=tenant, kind=PrincipalKind.PERSON, name=name)
        record = ApiKeyRecord(
            tenant=tenant,
            key_id=name,
            secret_digest=digest_of("secret"),
            principal=who,
            roles=(role,),
        )
        state.publish(API_KEYS, tenant, name, record)
    reader = MemoryStateReader(state, [AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS])
    await reader.load()
    return Tokens(reader, audiences=["https://interlock.example"], now=clock.now)


class Client:
    """Asks in somebody's name."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(
        self, path: str, who: str | None = "ada", method: str = "GET", **params: Any
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer ilk_{who}_secret"} if who else {}
        return await self._http.request(method, path, headers=headers, params=params or None)

    async def told(self, path: str, who: str = "ada", method: str = "GET", **params: Any) -> Any:
        answer = await self.ask(path, who, method, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def client(audit: Audit, clock: Clock) -> AsyncIterator[Client]:
    """Behind it a ledger of three calls of `acme`, one of `other`, a refusal and a forgery."""
    elsewhere = build.task("task-x", principal=build.principal(tenant="other"))
    await audit.keep(calls(3))
    await audit.keep(arrived(story(elsewhere)))
    clock.pass_(minutes=1)
    await audit.keep(arrived([build.raw(build.door_refused())]))
    await audit.keep([Arrival(story()[0], None, "forged", "not signed by this suite")])
    app = Starlette(routes=routes(Door(audit, await tokens(clock))))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://audit") as http:
        yield Client(http)


PATHS = [
    ("GET", "/v1/records"),
    ("GET", "/v1/tasks/task-1"),
    ("GET", "/v1/summary"),
    ("GET", "/v1/checkpoints"),
    ("GET", "/v1/export"),
    ("POST", "/v1/verify"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_only_callers_with_the_right_are_let_in(
    client: Client, method: str, path: str
) -> None:
    nobody = await client.ask(path, None, method)
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer ")
    owner = await client.ask(path, "bob", method)
    assert (owner.status_code, owner.json()["code"]) == (403, "forbidden")
    assert (await client.ask(path, "ada", method)).status_code == 200


async def test_a_caller_sees_its_own_tenants_records(client: Client) -> None:
    seen = {
        who: {(one["tenant"]) for one in (await client.told("/v1/records", who))["records"]}
        for who in ("ada", "eve", "olga")
    }
    assert seen == {"ada": {"acme"}, "eve": {"other"}, "olga": {"-"}}
    assert (await client.ask("/v1/tasks/task-1", "eve")).status_code == 404


async def test_a_record_says_who_did_what_under_which_policy(client: Client) -> None:
    (one,) = (await client.told("/v1/records", task="task-1", type="interlock.task.succeeded.v1"))[
        "records"
    ]
    assert one["agent"] == "sales-copilot"
    assert (one["server"], one["tool"]) == ("crm", "search_opportunities")
    assert (one["outcome"], one["latency"]) == ("succeeded", build.attempt().seconds)
    assert one["arrived_at"] == build.NOON.isoformat()
    assert "body" not in one


async def test_records_come_in_pages(client: Client) -> None:
    first = await client.told("/v1/records", limit=5)
    rest = await client.told("/v1/records", limit=100, cursor=first["next"])
    assert (len(first["records"]), len(rest["records"]), rest["next"]) == (5, 7, None)
    whole = await client.told("/v1/records")
    assert first["records"] + rest["records"] == whole["records"]


async def test_time_bounds_a_question(client: Client) -> None:
    later = "2026-01-01T12:01:00Z"
    assert len((await client.told("/v1/records", "olga", since=later))["records"]) == 2
    assert len((await client.told("/v1/records", "ada", until=later))["records"]) == 12
    assert (await client.told("/v1/records", "ada", since=later))["records"] == []
    plain = "/v1/records?since=2026-01-01T13:01:00+01:00"
    assert len((await client.told(plain, "olga"))["records"]) == 2


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "x"},
        {"cursor": "x"},
        {"cursor": "1.2"},
        {"since": "yesterday"},
        {"until": ""},
    ],
)
async def test_a_bad_question_is_told_what_is_wrong(client: Client, params: dict[str, str]) -> None:
    answer = await client.ask("/v1/records", **params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_task_is_told_whole_and_in_causal_order(client: Client) -> None:
    told = (await client.told("/v1/tasks/task-1"))["records"]
    assert [one["type"].split(".")[2] for one in told][:2] == ["authenticated", "authorized"]
    assert {one["type"].split(".")[2] for one in told[2:]} == {"started", "succeeded"}
    assert told[0]["body"]["arguments"] == build.ARGUMENTS
    assert told[0]["attributes"]["mac"].startswith("test:")


async def test_an_operator_sees_a_forgery_beside_the_task_that_it_claims(
    client: Client,
) -> None:
    assert len((await client.told("/v1/tasks/task-1", "ada"))["records"]) == 4
    told = (await client.told("/v1/tasks/task-1", "olga"))["records"]
    (forged,) = [one for one in told if "fault" in one]
    assert (forged["fault"], forged["tenant"]) == ("forged", "-")
    assert forged["reason"] == "not signed by this suite"


async def test_an_unknown_task_is_not_found(client: Client) -> None:
    answer = await client.ask("/v1/tasks/nothing")
    assert answer.status_code == 404
    assert "no record of task `nothing`" in answer.json()["detail"]


async def test_a_summary_counts_what_is_there(client: Client, audit: Audit) -> None:
    await audit.checkpoint()
    told = await client.told("/v1/summary")
    assert told["records"] == 12
    ended = [one for one in told["counts"] if one["outcome"] == "succeeded"]
    assert [one["records"] for one in ended] == [3]
    assert sum(shard["seq"] for shard in told["shards"]) == 18
    assert told["checkpoint_at"] == "2026-01-01T12:01:00+00:00"


async def test_verification_over_http_tells_nothing_of_others(
    client: Client, audit: Audit, clock: Clock
) -> None:
    elsewhere = build.task("task-y", principal=build.principal(tenant="other"))
    await audit.keep(arrived(story(elsewhere)[1:]))
    await audit.checkpoint()
    clock.pass_(minutes=2)
    told = await client.told("/v1/verify", "ada", "POST")
    assert (told["ok"], told["faults"], told["findings"]) == (False, {"cause": 1}, [])
    told = await client.told("/v1/verify", "eve", "POST")
    assert [one["fault"] for one in told["findings"]] == ["cause"]
    assert "DOES NOT HOLD" in told["text"]


async def test_what_the_door_gives_is_enough_to_verify_offline(
    client: Client, audit: Audit, clock: Clock, tmp_path: Path
) -> None:
    await audit.checkpoint()
    clock.pass_(seconds=1)
    export = await client.ask("/v1/export")
    assert export.headers["content-type"] == "application/gzip"
    path = tmp_path / "export.gz"
    path.write_bytes(export.content)
    told = await client.told("/v1/checkpoints")
    keys = [jose.public_key(one) for one in told["keys"]]
    trust = Trust({("ledger", key.thumbprint()): key for key in keys})  # type: ignore[misc]  # all are Ed25519
    report = verify_export(path, trust, audit.anchor)
    assert report.ok, report.text()
    assert (report.records, report.hidden, report.ended_tasks) == (18, 6, 3)
    assert len(told["checkpoints"]) == 2


async def test_an_export_hides_what_others_did(client: Client) -> None:
    export = gzip.decompress((await client.ask("/v1/export", "eve")).content)
    assert b"task-x" in export
    assert b"task-1" not in export
