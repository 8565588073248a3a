"""Introspection at the embedded issuer (RFC 7662)."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from interlock.contracts.task import Principal, PrincipalKind
from services.auth.handlers import NewKey
from tests.services.auth.rig import EDGE, OLGA, Rig, basic


@pytest.fixture
async def secret(rig: Rig) -> str:
    """An agent's key, which is its client's secret."""
    await rig.agent(may_act_for=("ana",))
    secret = await rig.agent_key()
    await rig.reader.load()
    return secret


async def ask(rig: Rig, secret: str, **form: Any) -> httpx2.Response:
    async with rig.client() as http:
        return await http.post("/auth/introspect", headers=basic("copilot", secret), data=form)


async def issued(rig: Rig, secret: str, **form: str) -> str:
    async with rig.client() as http:
        asked = {"grant_type": "client_credentials", **form}
        told = await http.post("/auth/token", headers=basic("copilot", secret), data=asked)
    token: str = told.json()["access_token"]
    return token


async def test_a_good_token_is_told_of_as_it_says_itself(rig: Rig, secret: str) -> None:
    token = await issued(rig, secret, scope="crm:read", resource=f"{EDGE}/servers/crm/mcp")
    answer = await ask(rig, secret, token=token, token_type_hint="access_token")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    assert told.pop("jti")
    assert told.pop("exp") - told.pop("iat") == 600
    assert told == {
        "active": True,
        "iss": f"{EDGE}/auth",
        "sub": "copilot",
        "client_id": "copilot",
        "token_type": "Bearer",
        "aud": f"{EDGE}/servers/crm/mcp",
        "scope": "crm:read",
        "roles": ["agent"],
        "tenant": "default",
    }


async def test_an_api_key_is_a_token_too_and_names_for_whom_the_agent_acts(
    rig: Rig, secret: str
) -> None:
    who = Principal(tenant="default", kind=PrincipalKind.AGENT, name="copilot", user="ana")
    _, text = await rig.access.create_key(NewKey(who), OLGA, ("admin",))
    await rig.relay.flush()
    told = (await ask(rig, secret, token=text)).json()
    assert (told["active"], told["sub"], told["act"]) == (True, "ana", {"sub": "copilot"})
    assert "exp" not in told


async def test_a_token_that_is_over_or_revoked_or_nobody_s_is_inactive_and_no_more_is_said(
    rig: Rig, secret: str
) -> None:
    token = await issued(rig, secret)
    for strange in ("ilk_no_key", "a.b.c", "opaque", token[:-4] + "AAAA", "", "\ud7ff"):
        answer = await ask(rig, secret, token=strange or " ")
        assert (answer.status_code, answer.json()) == (200, {"active": False}), strange
    caller = await rig.tokens.verify(token)
    await rig.access.revoke("default", ("token", caller.token_id), "", OLGA)
    await rig.relay.flush()
    await rig.reader.load()
    assert (await ask(rig, secret, token=token)).json() == {"active": False}
    other = await issued(rig, secret)
    rig.clock.time += timedelta(minutes=11)
    assert (await ask(rig, secret, token=other)).json() == {"active": False}


async def test_tokens_of_another_tenant_are_nobody_s(rig: Rig, secret: str) -> None:
    async with rig.client(await rig.key("admin")) as http:
        acme = (await http.post("/auth/v1/tenants", json={"name": "acme"})).json()["key"]
    await rig.reader.load()
    assert (await ask(rig, secret, token=acme)).json() == {"active": False}


async def test_only_clients_that_prove_themselves_may_ask(rig: Rig, secret: str) -> None:
    for given in (basic("copilot", "ilk_x_y"), basic("other", secret), {}):
        async with rig.client() as http:
            answer = await http.post("/auth/introspect", headers=given, data={"token": secret})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    missing = await ask(rig, secret)
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


async def test_it_is_announced(rig: Rig) -> None:
    async with rig.client() as http:
        told = (await http.get("/auth/.well-known/oauth-authorization-server")).json()
    assert told["introspection_endpoint"] == f"{EDGE}/auth/introspect"
    methods = told["introspection_endpoint_auth_methods_supported"]
    assert methods == told["token_endpoint_auth_methods_supported"]
    assert "private_key_jwt" in methods
