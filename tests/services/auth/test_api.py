"""The door for people: every change needs a right, and is seen everywhere when it is answered."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from interlock.contracts.changes import (
    AccessRevoked,
    AgentDisabled,
    AgentRegistered,
    IssuerTrusted,
    KeyCreated,
)
from interlock.errors import Refused
from interlock.identity.keys import new_key
from interlock.identity.sealing import CLIENT_SECRETS, Seal
from interlock.identity.submissions import AgentKey
from interlock.identity.tokens import Tokens
from interlock.state import ISSUERS
from interlock.state.memory import MemoryStateReader
from tests.services.auth.rig import EDGE, KEYRING, KINDS, NOON, Rig, public, signer

KEY = AgentKey("default", signer("copilot"))
JWK = orjson.loads(public(KEY))


async def test_a_key_says_who_calls(rig: Rig) -> None:
    async with rig.client(await rig.key("operator")) as http:
        told = (await http.get("/auth/v1/whoami")).json()
    assert (told["label"], told["roles"], told["how"]) == ("person:olga", ["operator"], "key")
    assert "agents:write" in told["rights"]


async def test_without_a_token_nothing_opens(rig: Rig) -> None:
    guarded = [route for route in rig.routes() if route.path.startswith("/v1/")]
    assert len(guarded) > 15
    async with rig.client() as http:
        for route in guarded:
            for method in (route.methods or set()) - {"HEAD"}:
                answer = await http.request(method, f"/auth{route.path}")
                assert answer.status_code == 401, (method, route.path)
                assert "resource_metadata" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/agents", {"name": "x"}),
        ("PUT", "/v1/agents/x", {}),
        ("DELETE", "/v1/agents/x", None),
        ("POST", "/v1/agents/x/keys", {"public_key": JWK}),
        ("POST", "/v1/keys", {"person": "olga"}),
        ("DELETE", "/v1/keys/x", None),
        ("POST", "/v1/issuers", {"issuer": "https://id.example"}),
        ("DELETE", "/v1/issuers?issuer=x", None),
        ("POST", "/v1/signing-keys/rotate", None),
        ("POST", "/v1/revocations", {"kind": "user", "name": "ana"}),
        ("POST", "/v1/tenants", {"name": "acme"}),
        ("GET", "/v1/tenants", None),
        ("GET", "/v1/tenants/acme", None),
        ("POST", "/v1/tenants/acme/disable", {}),
        ("POST", "/v1/tenants/acme/enable", None),
        ("POST", "/v1/users", {"name": "ana"}),
        ("PATCH", "/v1/users/ana", {}),
        ("DELETE", "/v1/users/ana", None),
        ("POST", "/v1/users/ana/disable", None),
        ("POST", "/v1/users/ana/enable", None),
        ("POST", "/v1/users/ana/identities", {"issuer": "https://id.example", "subject": "1"}),
        ("DELETE", "/v1/users/ana/identities?issuer=x", None),
        ("PUT", "/v1/users/ana/agents/copilot", None),
    ],
)
async def test_a_role_without_the_right_changes_nothing(
    rig: Rig, method: str, path: str, body: Any
) -> None:
    before = len(rig.bus.published)
    async with rig.client(await rig.key("auditor")) as http:
        answer = await http.request(method, f"/auth{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "admin" in answer.json()["roles"]
    assert len(rig.bus.published) == before + 1


async def test_an_agent_s_life(rig: Rig) -> None:
    async with rig.client(await rig.key("operator")) as http:
        made = await http.post("/auth/v1/agents", json={"name": "copilot", "description": "sales"})
        assert (made.status_code, made.headers["location"]) == (201, "/auth/v1/agents/copilot")
        assert (await http.post("/auth/v1/agents", json={"name": "copilot"})).status_code == 409
        keyed = await http.post("/auth/v1/agents/copilot/keys", json={"public_key": JWK})
        assert keyed.json()["key"] == KEY.signer.kid
        assert keyed.json()["public_keys"] == [JWK]
        again = await http.post("/auth/v1/agents/copilot/keys", json={"public_key": JWK})
        assert again.json()["public_keys"] == [JWK]
        changed = await http.put("/auth/v1/agents/copilot", json={"may_act_for": ["ana"]})
        assert (await http.get("/auth/v1/agents/copilot")).json() == changed.json()
        assert (await http.delete("/auth/v1/agents/copilot")).status_code == 204
        assert (await http.get("/auth/v1/agents/copilot")).json()["enabled"] is False
        assert (await http.get("/auth/v1/agents/other")).status_code == 404
    stated = [(type(fact), getattr(fact, "version", 0)) for fact in rig.facts()][1:]
    assert stated == [
        (AgentRegistered, 1),
        (AgentRegistered, 2),
        (AgentRegistered, 3),
        (AgentDisabled, 4),
        (AccessRevoked, 1),
    ]


async def test_an_agent_that_is_disabled_is_out_at_once_at_every_door(rig: Rig) -> None:
    await rig.agent()
    key = await rig.agent_key()
    reader = MemoryStateReader(rig.shared, KINDS)
    await reader.load()
    second = Tokens(reader, audiences=(EDGE,), now=rig.clock)
    await second.verify(key)
    rig.clock.time += timedelta(seconds=1)
    async with rig.client(await rig.key("operator")) as http:
        await http.delete("/auth/v1/agents/copilot")
        await reader.load()
        with pytest.raises(Refused, match="disabled"):
            await second.verify(key)
        await http.put("/auth/v1/agents/copilot", json={})
    await reader.load()
    with pytest.raises(Refused, match="revoked"):
        await second.verify(key)


async def test_an_api_key_is_shown_once_and_works_until_it_is_revoked(rig: Rig) -> None:
    await rig.agent(may_act_for=("ana",))
    async with rig.client(await rig.key("operator")) as http:
        asked = {"agent": "copilot", "user": "ana", "token_scopes": ["crm:read"]}
        made = await http.post("/auth/v1/keys", json=asked)
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
        text, key_id = made.json()["key"], made.json()["key_id"]
        listed = await http.get("/auth/v1/keys")
        assert text.rpartition("_")[2] not in listed.text
        assert "secret" not in listed.text
        async with rig.client(text) as agent:
            assert (await agent.get("/auth/v1/whoami")).json()["label"] == "agent:copilot for ana"
            assert (await http.delete(f"/auth/v1/keys/{key_id}")).status_code == 204
            await rig.reader.load()
            assert (await agent.get("/auth/v1/whoami")).status_code == 401
        assert (await http.delete(f"/auth/v1/keys/{key_id}")).status_code == 404
    assert [type(fact) for fact in rig.facts()[-2:]] == [KeyCreated, AccessRevoked]
    assert all(text.encode() not in raw.body for raw in rig.bus.published)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid"),
        ({"agent": "copilot", "person": "olga"}, 422, "invalid"),
        ({"person": "olga", "user": "ana"}, 422, "invalid"),
        ({"person": "olga", "roles": ["emperor"]}, 422, "invalid"),
        ({"person": "olga", "roles": ["admin"]}, 403, "forbidden"),
        ({"agent": "nobody"}, 404, "not_found"),
        ({"agent": "copilot", "user": "bob"}, 403, "not_delegated"),
        ({"agent": "copilot", "token_scopes": ["a b"]}, 422, "invalid"),
        ({"person": "olga", "expires_at": "2027-01-01T00:00:00"}, 422, "invalid"),
        ({"person": "olga", "secret": "mine"}, 422, "invalid"),
    ],
)
async def test_a_key_that_must_not_be_is_not_made(
    rig: Rig, body: Any, status: int, code: str
) -> None:
    await rig.agent()
    async with rig.client(await rig.key("operator")) as http:
        answer = await http.post("/auth/v1/keys", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_all_that_is_wrong_is_named_at_once(rig: Rig) -> None:
    async with rig.client(await rig.key("operator")) as http:
        answer = await http.post("/auth/v1/agents", json={"name": "No Name", "extra": 1})
    assert [one["at"] for one in answer.json()["violations"]] == ["/name", "/extra"]


@pytest.mark.parametrize(
    "jwk", [{}, {"kty": "oct", "k": "AAAA"}, new_key()], ids=["no", "oct", "d"]
)
async def test_only_public_ed25519_keys_are_registered(rig: Rig, jwk: dict[str, Any]) -> None:
    await rig.agent()
    async with rig.client(await rig.key("operator")) as http:
        answer = await http.post("/auth/v1/agents/copilot/keys", json={"public_key": jwk})
        put = await http.put("/auth/v1/agents/copilot", json={"public_keys": [jwk]})
    assert (answer.status_code, put.status_code) == (422, 422)


async def test_lists_come_in_pages(rig: Rig) -> None:
    for name in ("a", "b", "c"):
        await rig.agent(name)
    async with rig.client(await rig.key("operator")) as http:
        first = (await http.get("/auth/v1/agents?limit=2")).json()
        assert ([one["name"] for one in first["agents"]], first["next"]) == (["a", "b"], "b")
        second = (await http.get("/auth/v1/agents?after=b&limit=2")).json()
        assert ([one["name"] for one in second["agents"]], second["next"]) == (["c"], None)
        assert (await http.get("/auth/v1/agents?limit=0")).status_code == 422


async def test_tenants_see_nothing_of_each_other(rig: Rig) -> None:
    await rig.agent()
    async with rig.client(await rig.key("admin")) as http:
        made = await http.post("/auth/v1/tenants", json={"name": "acme"})
        assert made.status_code == 201
        assert (await http.post("/auth/v1/tenants", json={"name": "acme"})).status_code == 409
        listed = (await http.get("/auth/v1/tenants")).json()["tenants"]
        assert [one["name"] for one in listed] == ["acme"]
    async with rig.client(made.json()["key"]) as acme:
        assert (await acme.get("/auth/v1/agents")).json()["agents"] == []
        assert (await acme.get("/auth/v1/agents/copilot")).status_code == 404
        assert (await acme.delete("/auth/v1/agents/copilot")).status_code == 404
        assert (await acme.post("/auth/v1/agents", json={"name": "copilot"})).status_code == 201
        assert (await acme.post("/auth/v1/tenants", json={"name": "x"})).status_code == 403
        assert (await acme.post("/auth/v1/signing-keys/rotate")).status_code == 403


async def test_an_issuer_is_trusted_with_the_keys_that_it_publishes(rig: Rig) -> None:
    url = "https://id.example/realms/acme"
    rig.discovery.key_sets[url] = orjson.dumps({"keys": [JWK]}).decode()
    async with rig.client(await rig.key("admin")) as http:
        made = await http.post("/auth/v1/issuers", json={"issuer": url, "audiences": ["us"]})
        assert made.status_code == 201
        listed = (await http.get("/auth/v1/issuers")).json()["issuers"]
        assert [(one["issuer"], one["audiences"]) for one in listed] == [(url, ["us"])]
        assert isinstance(rig.facts()[-1], IssuerTrusted)
        away = await http.post("/auth/v1/issuers", json={"issuer": "https://away.example"})
        assert (away.status_code, "https://away.example" in away.json()["detail"]) == (502, True)
        own = await http.post("/auth/v1/issuers", json={"issuer": f"{EDGE}/auth"})
        assert own.status_code == 409
        acme = (await http.post("/auth/v1/tenants", json={"name": "acme"})).json()["key"]
        async with rig.client(acme) as theirs:
            taken = await theirs.post("/auth/v1/issuers", json={"issuer": url})
            assert taken.status_code == 409
            assert (await theirs.delete(f"/auth/v1/issuers?issuer={url}")).status_code == 404
        assert (await http.delete(f"/auth/v1/issuers?issuer={url}")).status_code == 204
        assert (await http.get("/auth/v1/issuers")).json()["issuers"] == []


async def test_an_issuer_s_new_keys_are_published_and_an_absent_one_keeps_its_keys(
    rig: Rig,
) -> None:
    url, other = "https://id.example", "https://absent.example"
    rig.discovery.key_sets |= {url: '{"keys":[1]}', other: '{"keys":[3]}'}
    async with rig.client(await rig.key("admin")) as http:
        for issuer in (url, other):
            await http.post("/auth/v1/issuers", json={"issuer": issuer})
    await rig.store.change(lambda it: it.add_tenant("default", NOON))
    assert not await rig.issuers.refresh()
    rig.discovery.key_sets[url] = '{"keys":[2]}'
    del rig.discovery.key_sets[other]
    assert await rig.issuers.refresh()
    kept = await rig.store.read(lambda it: it.of(ISSUERS, "default"))
    assert {issuer: record.jwks for issuer, record in kept.items()} == {
        url: '{"keys":[2]}',
        other: '{"keys":[3]}',
    }


async def test_an_issuer_that_is_asked_about_tokens_keeps_our_secret_there_sealed(
    rig: Rig,
) -> None:
    url = "https://id.example"
    rig.discovery.key_sets[url] = '{"keys":[1]}'
    how = {"client_id": "interlock", "client_secret": "s3cret-of-ours"}
    async with rig.client(await rig.key("admin")) as http:
        made = await http.post("/auth/v1/issuers", json={"issuer": url, "introspection": how})
        shown = {"endpoint": f"{url}/introspect", "client_id": "interlock"}
        assert made.json()["introspection"] == shown
        assert "sealed" not in (await http.get("/auth/v1/issuers")).text
        acme = (await http.post("/auth/v1/tenants", json={"name": "acme"})).json()["key"]
    record = await rig.store.read(lambda it: it.get(ISSUERS, "default", url))
    assert record is not None
    assert record.introspection is not None
    assert Seal(KEYRING, CLIENT_SECRETS).open(record.introspection.sealed_secret) == (
        b"s3cret-of-ours"
    )
    assert not [one for one in rig.shared.entries.values() if b"s3cret" in (one.body or b"")]
    other = "https://other.example"
    rig.discovery.key_sets[other] = '{"keys":[1]}'
    async with rig.client(acme) as http:
        refused = await http.post("/auth/v1/issuers", json={"issuer": other, "introspection": how})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        every = how | {"tokens": "every"}
        made = await http.post("/auth/v1/issuers", json={"issuer": other, "introspection": every})
        assert made.status_code == 201


async def test_a_revocation_is_answered_when_it_is_in_force(rig: Rig) -> None:
    key = await rig.key("auditor", name="ana")
    await rig.tokens.verify(key)
    rig.clock.time += timedelta(seconds=1)
    async with rig.client(await rig.key("operator")) as http:
        asked = {"kind": "user", "name": "ana", "reason": "left"}
        assert (await http.post("/auth/v1/revocations", json=asked)).status_code == 201
        listed = (await http.get("/auth/v1/revocations")).json()["revocations"]
        assert [(one["kind"], one["name"], one["reason"]) for one in listed] == [
            ("user", "ana", "left")
        ]
    await rig.reader.load()
    with pytest.raises(Refused) as refused:
        await rig.tokens.verify(key)
    assert refused.value.code == "revoked"


async def test_people_delegate_for_themselves_and_operators_for_others(rig: Rig) -> None:
    await rig.agent(public_keys=(public(KEY),), may_act_for=("olga", "ana"))
    asked = {"agent": "copilot"}
    async with rig.client(await rig.key()) as http:
        made = await http.post("/auth/v1/delegations", json=asked)
        assert made.status_code == 201
        assert made.json()["expires_at"] == (NOON + timedelta(hours=8)).isoformat()
        other = await http.post("/auth/v1/delegations", json=asked | {"user": "ana"})
        assert other.status_code == 403
        wrong = await http.post("/auth/v1/delegations", json=asked | {"key": "x"})
        assert wrong.status_code == 422
    async with rig.client(await rig.key("operator")) as http:
        good = await http.post("/auth/v1/delegations", json=asked | {"user": "ana"})
        assert good.status_code == 201
        never = await http.post("/auth/v1/delegations", json=asked | {"user": "bob"})
        assert (never.status_code, never.json()["code"]) == (403, "not_delegated")
    async with rig.client(await rig.agent_key()) as http:
        assert (await http.post("/auth/v1/delegations", json=asked)).status_code == 422


async def test_the_first_start_makes_an_operator_s_key_and_the_second_none(
    rig: Rig, tmp_path: Any
) -> None:
    file = tmp_path / "data" / "operator.key"
    file.parent.mkdir()
    assert await rig.access.bootstrap(file)
    await rig.relay.flush()
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text().strip()
    async with rig.client(text) as http:
        told = (await http.get("/auth/v1/whoami")).json()
    assert (told["principal"]["tenant"], told["roles"]) == ("default", ["admin"])
    assert not await rig.access.bootstrap(file)
    assert file.read_text().strip() == text


async def test_while_the_bus_is_away_a_change_is_kept_and_told_later(rig: Rig) -> None:
    async with rig.client(await rig.key("operator")) as http:
        await rig.reader.load()
        rig.bus.away = True
        answer = await http.post("/auth/v1/agents", json={"name": "copilot"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        rig.bus.away = False
        await rig.relay.flush()
        assert isinstance(rig.facts()[-1], AgentRegistered)


async def test_a_key_that_could_not_be_published_yet_is_shown_all_the_same(rig: Rig) -> None:
    await rig.agent()
    async with rig.client(await rig.key("admin")) as http:
        rig.bus.away = True
        made = await http.post("/auth/v1/keys", json={"agent": "copilot"})
        rig.bus.away = False
    assert made.status_code == 202
    assert made.json()["key"].startswith("ilk_")


async def test_a_key_that_no_key_can_be_is_the_caller_s_fault(rig: Rig) -> None:
    body = {"name": "copilot", "public_keys": [{"kty": "OKP", "n": 10**30}]}
    async with rig.client(await rig.key("admin")) as http:
        assert (await http.post("/auth/v1/agents", json=body)).status_code == 422
        await http.post("/auth/v1/agents", json={"name": "copilot"})
        key = {"public_key": {"x": 2**64}}
        assert (await http.post("/auth/v1/agents/copilot/keys", json=key)).status_code == 422
