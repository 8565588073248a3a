"""The door for logins: who may, what comes out, and what is stated."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from interlock.bus import Stamp
from interlock.bus.wire import read
from interlock.contracts.access import ApiKeyRecord
from interlock.contracts.catalogue import HttpConnection, Lifecycle
from interlock.contracts.changes import LoginEnded, LoginGranted, StateChanged
from interlock.contracts.task import digest_of
from interlock.contracts.topics import Topic
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS, CATALOGUE, ISSUERS, REVOCATIONS, USERS
from interlock.state.memory import MemoryStateReader
from interlock.testing import build
from services.invocation.clients import FileSecrets
from services.invocation.handlers import Letting
from services.invocation.http import LoginDoor, login_routes
from tests.services.invocation.clients.authorizing import (
    CALLBACK,
    SECRET,
    Office,
    office,
    replica,
)
from tests.services.invocation.rig import Rig, server

EDGE = "https://interlock.example"
KINDS = (AGENTS, API_KEYS, CATALOGUE, ISSUERS, REVOCATIONS, USERS)
PATH = "/v1/servers/crm/login"


@pytest.fixture
async def place() -> AsyncIterator[Office]:
    async with office() as place:
        yield place


@pytest.fixture
async def door(rig: Rig, place: Office, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """An operator at the door of a suite whose server `crm`, a draft, wants OAuth."""
    connection = HttpConnection(url=f"{place.origin}/mcp")
    record = server(connection=connection, lifecycle=Lifecycle.DRAFT)
    rig.state.publish(CATALOGUE, "acme", "crm", record)
    for name, role in (("otto", "operator"), ("aga", "agent")):
        key = ApiKeyRecord(
            tenant="acme",
            key_id=name,
            secret_digest=digest_of("secret"),
            principal=build.person(name, "acme"),
            roles=(role,),
        )
        rig.state.publish(API_KEYS, "acme", name, key)
    reader = MemoryStateReader(rig.state, KINDS)
    await reader.load()
    tokens = Tokens(reader, audiences=(EDGE,), now=rig.clock)
    async with replica(FileSecrets(tmp_path / "secrets")) as one:
        stamp = Stamp("invocation", build.KEYRING, rig.clock)
        letting = Letting(reader.view(CATALOGUE), one.logins, rig.bus, stamp, rig.clock)
        routes = login_routes(LoginDoor(letting, tokens))
        app = Starlette(routes=[Mount("/invocation", routes=routes)])
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url=f"{EDGE}/invocation",
            headers={"Authorization": "Bearer ilk_otto_secret"},
        ) as client:
            yield client


async def test_a_login_is_begun_answered_shown_ended_and_stated_without_a_secret(
    door: httpx2.AsyncClient, place: Office, rig: Rig
) -> None:
    said = [(await door.get(PATH)).text]
    begun = await door.post(PATH, json={"redirect_uri": CALLBACK})
    back = {"redirected_to": place.consent(begun.json()["consent_at"])}
    answered = await door.post(f"{PATH}/answer", json=back)
    assert answered.json() == {"logged_in": True}
    shown = await door.get(PATH)
    assert shown.json()["grant"] == "authorization_code"
    assert shown.json()["issuer"] == place.origin
    assert shown.json()["renews_itself"] is True
    ended = (await door.delete(PATH)).json()
    why = f"`{place.origin}` has no endpoint for that"
    assert ended == {"logged_in": False, "revoked": False, "why": why}
    assert (await door.get(PATH)).status_code == 404
    stated = [raw for raw in rig.bus.published if raw.topic is Topic.STATE_CHANGED]
    facts = [read(raw).body for raw in stated]
    assert [type(fact) for fact in facts] == [LoginGranted, LoginEnded]
    assert [fact.by.name for fact in facts if isinstance(fact, StateChanged)] == ["otto", "otto"]
    said += [answered.text, shown.text, *(raw.body.decode() for raw in stated)]
    assert not [one for one in place.secrets for text in said if one in text]


async def test_a_secret_that_is_given_never_comes_back(
    door: httpx2.AsyncClient, place: Office
) -> None:
    client = {"client_id": "me", "issuer": place.origin, "client_secret": SECRET}
    body = {"grant": "client_credentials", "client": client}
    said = [await door.post(PATH, json=body), await door.get(PATH)]
    assert said[1].json()["client_id"] == "me"
    wrong = {**client, "method": "private_key_jwt"}
    said += [await door.post(PATH, json={**body, "client": wrong})]
    said += [await door.post(PATH, json={**body, "client": {**client, "typo": SECRET}})]
    assert [one.status_code for one in said] == [200, 200, 422, 422]
    assert not [one for one in said if SECRET in one.text]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"redirect_uri": "https://evil.example/callback"},
        {"grant": "client_credentials"},
        {"redirect_uri": CALLBACK, "client": {"client_id": "me", "issuer": "https://a.example"}},
    ],
)
async def test_what_cannot_be_a_login_is_refused(
    door: httpx2.AsyncClient, place: Office, body: dict[str, object]
) -> None:
    refused = await door.post(PATH, json=body)
    assert refused.status_code == 422, json.dumps(refused.json())
    assert place.asked == []


async def test_agents_log_in_nowhere(door: httpx2.AsyncClient, place: Office) -> None:
    agent = {"Authorization": "Bearer ilk_aga_secret"}
    asked = {"redirect_uri": CALLBACK}
    assert (await door.post(PATH, json=asked, headers=agent)).status_code == 403
    assert (await door.delete(PATH, headers=agent)).status_code == 403
    missing = await door.post("/v1/servers/erp/login", json=asked)
    assert missing.status_code == 404
