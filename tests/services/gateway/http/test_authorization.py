"""What the door says to OAuth clients, by which name it may be called, and when access ends."""

import asyncio
from typing import Any

import httpx2
import pytest

from interlock.bus.wire import read
from interlock.contracts.access import IssuerRecord
from interlock.contracts.outcomes import DoorRefused
from interlock.errors import Refused
from interlock.state import API_KEYS, ISSUERS
from services.gateway.decide.reached import reached
from services.gateway.settings import Settings
from tests.services.gateway.build import Gateway, World, eventually, key_of
from tests.services.gateway.http.raw import call, frames, headers, post
from tests.services.gateway.http.test_rest import CALL
from tests.services.gateway.http.test_stream import start

RESOURCE = "/.well-known/oauth-protected-resource"


def trust(gateway: Gateway, tenant: str, url: str, **more: Any) -> None:
    record = IssuerRecord(tenant=tenant, issuer=url, audiences=(), jwks="{}", **more)
    gateway.state.publish(ISSUERS, tenant, url, record)


async def test_metadata_name_the_suite_s_issuers_and_no_other_tenant_s(gateway: Gateway) -> None:
    own = f"{gateway.url}/auth"
    trust(gateway, "*", own)
    trust(gateway, "default", "https://id.example")
    trust(gateway, "default", "https://hidden.example", announced=False)
    trust(gateway, "acme", "https://acme.example")
    async with httpx2.AsyncClient(base_url=gateway.url) as client:
        for path in ("", "/mcp", "/servers/crm/mcp", "/toolsets/sales/mcp"):
            told = (await client.get(RESOURCE + path)).json()
            assert told["resource"] == gateway.url + path
            assert told["authorization_servers"] == ["https://id.example", own]


async def test_the_embedded_issuer_is_found_where_its_url_says(gateway: Gateway) -> None:
    place = "/.well-known/oauth-authorization-server/auth"
    async with httpx2.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get(place)).status_code == 404
        trust(gateway, "*", f"{gateway.url}/auth")
        await gateway.host.reader.load()
        told = (await client.get(place)).json()
    assert told["issuer"] == f"{gateway.url}/auth"
    assert told["client_id_metadata_document_supported"] is True
    assert "urn:ietf:params:oauth:grant-type:jwt-bearer" in told["grant_types_supported"]


async def test_a_challenge_says_which_scopes_to_ask_for(suite: World) -> None:
    settings = Settings(challenge_scopes=("openid", "crm:read"))
    async with suite.gateway(settings) as gateway:
        async with httpx2.AsyncClient(base_url=gateway.url) as client:
            told = await post(client, call())
            metadata = (await client.get(f"{RESOURCE}/mcp")).json()
    assert told.status_code == 401
    assert 'scope="openid crm:read"' in told.headers["www-authenticate"]
    assert metadata["scopes_supported"] == ["openid", "crm:read"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""]
)
async def test_a_door_on_loopback_answers_to_no_other_name(gateway: Gateway, host: str) -> None:
    async with gateway.client(headers={"Host": host}) as client:
        told = await post(client, call())
    assert told.status_code == 421
    assert not gateway.authority.asked


async def test_a_name_that_settings_allow_is_ours(suite: World) -> None:
    async with suite.gateway(Settings(allowed_hosts=("Gateway.internal",))) as gateway:
        for host in ("gateway.internal:8080", "localhost", "127.0.0.1:1"):
            async with gateway.client(headers={"Host": host}) as client:
                assert (await post(client, call())).status_code == 200


@pytest.mark.parametrize(
    ("url", "told", "host", "ours"),
    [
        ("http://127.0.0.1:8080", False, "[::1]:8080", True),
        ("http://127.0.0.1:8080", False, "evil.example", False),
        ("https://interlock.example", True, "interlock.example", True),
        ("https://interlock.example", True, "INTERLOCK.example:443", True),
        ("https://interlock.example", True, "127.0.0.1", False),
        ("http://0.0.0.0:8080", False, "gateway:8080", True),
        ("https://interlock.example", True, "[", False),
    ],
)
def test_which_names_are_ours(url: str, told: bool, host: str, ours: bool) -> None:
    door = reached(url, told=told)
    if ours:
        door.require_host([host])
    else:
        with pytest.raises(Refused) as refused:
            door.require_host([host])
        assert refused.value.code == "misdirected"


def test_a_request_names_one_host() -> None:
    for given in ([], ["a.example", "a.example"]):
        with pytest.raises(Refused):
            reached("https://a.example", told=True).require_host(given)


async def test_a_stream_of_events_ends_when_its_reader_s_access_does(gateway: Gateway) -> None:
    gateway.authority.judge = start
    async with gateway.client() as client:
        task = (await client.post("/v1/tasks", json=CALL)).json()
        async with asyncio.timeout(10):
            async with client.stream("GET", f"/v1/tasks/{task['id']}/events") as stream:
                async for name, _ in frames(stream):
                    assert name == "task.started"
                    gateway.state.publish(API_KEYS, "acme", "copilot", None)
    assert gateway.authority.cancelled.empty()


@pytest.mark.parametrize("given", [headers(), headers() | {"Accept": "*/*"}], ids=["lean", "sdk"])
async def test_a_call_s_result_is_not_told_to_a_caller_who_was_revoked_meanwhile(
    gateway: Gateway, given: dict[str, str]
) -> None:
    gateway.authority.judge = start
    async with gateway.client() as client:
        async with asyncio.timeout(10):
            calling = asyncio.ensure_future(post(client, call(), headers=given))
            await eventually(lambda: gateway.authority.asked or None)
            gateway.state.publish(API_KEYS, "acme", "copilot", None)
            told = await calling
    assert "error" in told.json()
    assert "result" not in told.json()
    noted = await eventually(lambda: refusals(gateway) or None)
    assert noted[0].principal is not None


def refusals(gateway: Gateway) -> list[DoorRefused]:
    found = [read(raw).body for raw in gateway.bus.published]
    return [fact for fact in found if isinstance(fact, DoorRefused)]


async def test_nobody_waits_for_an_outcome_that_is_not_theirs_any_more(gateway: Gateway) -> None:
    gateway.authority.judge = start
    async with gateway.client() as client:
        waiting = asyncio.ensure_future(
            client.post("/v1/tasks", json=CALL, headers={"Prefer": "wait=2"})
        )
        await eventually(lambda: gateway.authority.asked or None)
        gateway.state.publish(API_KEYS, "acme", "copilot", None)
        assert (await waiting).status_code == 401


@pytest.mark.parametrize("path", ["/mcp", "/v1/tasks"])
async def test_a_token_goes_no_further_than_the_door(gateway: Gateway, path: str) -> None:
    """What is on the bus is all that any upstream could ever be told."""
    async with gateway.client() as client:
        if path == "/mcp":
            await post(client, call())
        else:
            await client.post(path, json=CALL, headers={"Prefer": "wait=5"})
    assert gateway.authority.asked
    for raw in gateway.bus.published:
        overheard = repr(raw.attributes) + raw.body.decode()
        assert key_of("copilot") not in overheard
        assert "Bearer" not in overheard
