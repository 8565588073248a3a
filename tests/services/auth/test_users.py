"""Users: made, linked with who signs in, given roles, disabled everywhere, erased."""

from collections import Counter
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from interlock.contracts.access import RevocationRecord
from interlock.contracts.changes import (
    AccessRevoked,
    AgentRegistered,
    UserDisabled,
    UserEnabled,
    UserErased,
    UserRegistered,
)
from interlock.errors import Refused
from interlock.identity.people import identity_digest
from interlock.state import API_KEYS, REVOCATIONS, USERS
from services.auth.model import Identity
from tests.services.auth.rig import NOON, Rig

IDP = "https://id.example/realms/acme"
ANA = {"name": "ana", "display_name": "Ana Anders", "email": "ana@acme.example"}
LINK = {"issuer": IDP, "subject": "8d1f"}


async def refused(rig: Rig, token: str) -> str:
    await rig.reader.load()
    with pytest.raises(Refused) as error:
        await rig.tokens.verify(token)
    return error.value.code


async def test_a_user_s_life(rig: Rig) -> None:
    async with rig.client(await rig.key("operator")) as http:
        told = {**ANA, "roles": ["auditor"], "identities": [LINK]}
        made = await http.post("/auth/v1/users", json=told)
        assert (made.status_code, made.headers["location"]) == (201, "/auth/v1/users/ana")
        assert made.json() == {
            **told,
            "tenant": "default",
            "enabled": True,
            "created_at": NOON.isoformat(),
            "agents": [],
            "keys": [],
        }
        assert (await http.get("/auth/v1/users/ana")).json() == made.json()
        assert (await http.post("/auth/v1/users", json=ANA)).status_code == 409
        given = await http.patch("/auth/v1/users/ana", json={"roles": ["owner", "auditor"]})
        assert given.json() == {**made.json(), "roles": ["auditor", "owner"]}
        named = await http.patch("/auth/v1/users/ana", json={"display_name": "Ana A.", "email": ""})
        assert (named.json()["email"], named.json()["roles"]) == ("", ["auditor", "owner"])
        assert (await http.post("/auth/v1/users/ana/disable")).status_code == 204
        assert (await http.get("/auth/v1/users/ana")).json()["enabled"] is False
        assert (await http.post("/auth/v1/users/ana/enable")).status_code == 204
        assert (await http.get("/auth/v1/users/ana")).json()["enabled"] is True
        assert (await http.get("/auth/v1/users/bob")).status_code == 404
    assert {(type(fact), getattr(fact, "version", 0)) for fact in rig.facts()[1:]} == {
        (UserRegistered, 1),
        (UserRegistered, 2),
        (UserRegistered, 3),
        (UserDisabled, 4),
        (AccessRevoked, 1),
        (UserEnabled, 5),
    }


async def test_what_is_told_of_a_user_never_leaves_auth(rig: Rig) -> None:
    async with rig.client(await rig.key("operator")) as http:
        await http.post("/auth/v1/users", json={**ANA, "identities": [LINK]})
    published = rig.shared.entries["users", "default", "ana"].body or b""
    assert identity_digest(IDP, "8d1f").encode() in published
    for sent in (published, *(raw.body for raw in rig.bus.published)):
        assert not [secret for secret in (b"Anders", b"@acme", b'8d1f"') if secret in sent]


async def test_users_are_listed_in_pages_behind_the_wall_of_their_tenant(rig: Rig) -> None:
    async with rig.client(await rig.key("admin")) as http:
        for name in ("a", "b", "c@acme.example"):
            await http.post("/auth/v1/users", json={"name": name})
        first = (await http.get("/auth/v1/users?limit=2")).json()
        assert ([one["name"] for one in first["users"]], first["next"]) == (["a", "b"], "b")
        rest = (await http.get("/auth/v1/users?after=b")).json()
        assert [one["name"] for one in rest["users"]] == ["c@acme.example"]
        assert (await http.get("/auth/v1/users/c@acme.example")).status_code == 200
        acme = (await http.post("/auth/v1/tenants", json={"name": "acme"})).json()["key"]
    async with rig.client(acme) as theirs:
        assert (await theirs.get("/auth/v1/users")).json()["users"] == []
        assert (await theirs.post("/auth/v1/users/a/disable")).status_code == 404
        assert (await theirs.post("/auth/v1/users", json={"name": "a"})).status_code == 201


@pytest.mark.parametrize(
    ("asked", "body", "status", "code"),
    [
        ("POST ", {"name": ""}, 422, "invalid"),
        ("POST ", {"name": "a/b"}, 422, "invalid"),
        ("POST ", {"name": ".."}, 422, "invalid"),
        ("POST ", {"name": "a b"}, 422, "invalid"),
        ("POST ", {"name": "x", "email": "nobody"}, 422, "invalid"),
        ("POST ", {"name": "x", "roles": ["emperor"]}, 422, "invalid"),
        ("POST ", {"name": "x", "roles": ["admin"]}, 403, "forbidden"),
        ("POST ", {"name": "x", "identities": [LINK]}, 409, "conflict"),
        (
            "POST ",
            {"name": "x", "identities": [{"issuer": "id"}]},
            422,
            "invalid",
        ),
        ("PATCH /ana", {"roles": ["admin"]}, 403, "forbidden"),
        ("PATCH /ana", {"name": "bob"}, 422, "invalid"),
        ("POST /nobody/disable", None, 404, "not_found"),
        ("DELETE /ana/identities?issuer=x", None, 422, "invalid"),
        ("DELETE /ana/identities?issuer=https://x&subject=1", None, 404, "not_found"),
        ("PUT /ana/agents/nobody", None, 404, "not_found"),
        ("POST /boss/disable", None, 403, "forbidden"),
        ("POST /boss/identities", {"issuer": IDP, "subject": "me"}, 403, "forbidden"),
        ("PATCH /boss", {"roles": []}, 403, "forbidden"),
        ("DELETE /boss", None, 403, "forbidden"),
        ("POST /olga/disable", None, 409, "conflict"),
        ("PATCH /olga", {"roles": []}, 409, "conflict"),
        ("DELETE /olga", None, 409, "conflict"),
    ],
)
async def test_what_must_not_be_is_refused_and_changes_nothing(
    rig: Rig, asked: str, body: Any, status: int, code: str
) -> None:
    """`boss` has rights that olga, an operator, lacks."""
    async with rig.client(await rig.key("admin", name="first")) as http:
        await http.post("/auth/v1/users", json={**ANA, "identities": [LINK]})
        await http.post("/auth/v1/users", json={"name": "boss", "roles": ["admin"]})
        await http.post("/auth/v1/users", json={"name": "olga", "roles": ["operator"]})
    async with rig.client(await rig.key("operator")) as http:
        before = len(rig.bus.published)
        method, _, path = asked.partition(" ")
        answer = await http.request(method, f"/auth/v1/users{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()
    assert len(rig.bus.published) == before


async def test_a_key_of_a_user_has_no_more_roles_than_the_user_at_any_time(rig: Rig) -> None:
    async with rig.client(await rig.key("admin")) as http:
        await http.post("/auth/v1/users", json={"name": "ana", "roles": ["auditor", "owner"]})
        key = (
            await http.post("/auth/v1/keys", json={"person": "ana", "roles": ["auditor"]})
        ).json()
        assert (await http.get("/auth/v1/users/ana")).json()["keys"] == [key["key_id"]]
        await rig.reader.load()
        assert (await rig.tokens.verify(key["key"])).roles == ("auditor",)
        beyond = await http.post("/auth/v1/keys", json={"person": "ana", "roles": ["reviewer"]})
        assert (beyond.status_code, "`reviewer`" in beyond.json()["detail"]) == (409, True)
        await http.patch("/auth/v1/users/ana", json={"roles": ["owner"]})
        await rig.reader.load()
        assert (await rig.tokens.verify(key["key"])).roles == ()


async def test_registering_somebody_takes_nothing_from_the_keys_they_have(rig: Rig) -> None:
    key = await rig.key("auditor", name="ana")
    async with rig.client(await rig.key("admin")) as http:
        bare = await http.post("/auth/v1/users", json={"name": "ana"})
        assert (bare.status_code, "role `auditor`" in bare.json()["detail"]) == (409, True)
        await http.post("/auth/v1/users", json={"name": "ana", "roles": ["auditor"]})
    await rig.reader.load()
    assert (await rig.tokens.verify(key)).roles == ("auditor",)


async def test_a_disabled_user_is_out_with_every_key_also_those_of_agents_for_the_user(
    rig: Rig,
) -> None:
    await rig.agent(may_act_for=("ana",))
    async with rig.client(await rig.key("admin")) as http:
        await http.post("/auth/v1/users", json={"name": "ana"})
        own = (await http.post("/auth/v1/keys", json={"person": "ana"})).json()["key"]
        acting = {"agent": "copilot", "user": "ana"}
        agent_s = (await http.post("/auth/v1/keys", json=acting)).json()["key"]
        await rig.reader.load()
        await rig.tokens.verify(own)
        await rig.tokens.verify(agent_s)
        rig.clock.time += timedelta(seconds=1)
        await http.post("/auth/v1/users/ana/disable")
        assert await refused(rig, own) == await refused(rig, agent_s) == "disabled_user"
        for asked in ({"person": "ana"}, acting):
            answer = await http.post("/auth/v1/keys", json=asked)
            assert (answer.status_code, answer.json()["code"]) == (401, "disabled_user")
        await http.post("/auth/v1/users/ana/enable")
        assert await refused(rig, own) == await refused(rig, agent_s) == "revoked"
        rig.clock.time += timedelta(seconds=1)
        again = (await http.post("/auth/v1/keys", json={"person": "ana"})).json()["key"]
        await rig.reader.load()
        await rig.tokens.verify(again)
    revoked = await rig.store.read(lambda it: it.get(REVOCATIONS, "default", "user:ana"))
    assert isinstance(revoked, RevocationRecord), "invocation runs nothing that was asked before"


async def test_for_whom_an_agent_may_act_is_told_at_the_user_too(rig: Rig) -> None:
    await rig.agent(may_act_for=("bob",))
    await rig.agent("any", may_act_for=("*",))
    async with rig.client(await rig.key("operator")) as http:
        await http.post("/auth/v1/users", json={"name": "ana"})
        assert (await http.put("/auth/v1/users/ana/agents/copilot")).status_code == 204
        assert (await http.put("/auth/v1/users/ana/agents/copilot")).status_code == 204
        assert (await http.get("/auth/v1/users/ana")).json()["agents"] == ["any", "copilot"]
        shown = (await http.get("/auth/v1/agents/copilot")).json()
        assert shown["may_act_for"] == ["bob", "ana"]
        assert (await http.delete("/auth/v1/users/ana/agents/copilot")).status_code == 204
        assert (await http.get("/auth/v1/users/ana")).json()["agents"] == ["any"]
    stated = [fact for fact in rig.facts() if isinstance(fact, AgentRegistered)]
    assert len(stated) == 4, "what is so already is not stated again"


async def test_a_disabled_user_delegates_to_nobody(rig: Rig) -> None:
    await rig.agent(may_act_for=("ana",))
    async with rig.client(await rig.key("admin")) as http:
        await http.post("/auth/v1/users", json={"name": "ana"})
        await http.post("/auth/v1/users/ana/disable")
        asked = {"agent": "copilot", "user": "ana"}
        answer = await http.post("/auth/v1/delegations", json=asked)
    assert answer.json()["code"] == "disabled_user"


async def test_an_erased_user_leaves_its_name_and_nothing_else(rig: Rig) -> None:
    await rig.agent(may_act_for=("ana", "bob"))
    async with rig.client(await rig.key("admin")) as http:
        await http.post("/auth/v1/users", json={**ANA, "roles": ["owner"], "identities": [LINK]})
        key = (await http.post("/auth/v1/keys", json={"person": "ana"})).json()
        await http.post("/auth/v1/keys", json={"agent": "copilot", "user": "ana"})
        assert (await http.delete("/auth/v1/users/ana")).status_code == 204
        left = (await http.get("/auth/v1/users/ana")).json()
        assert left.pop("erased_at") == NOON.isoformat()
        assert left == {
            "tenant": "default",
            "name": "ana",
            "display_name": "",
            "email": "",
            "enabled": False,
            "roles": [],
            "identities": [],
            "created_at": NOON.isoformat(),
            "agents": [],
            "keys": [],
        }
        assert (await http.get("/auth/v1/users")).json()["users"] == []
        assert (await http.get("/auth/v1/agents/copilot")).json()["may_act_for"] == ["bob"]
        for method, path, body in (
            ("POST", "", {"name": "ana"}),
            ("POST", "/ana/enable", None),
            ("PATCH", "/ana", {"email": "x@y"}),
        ):
            again = await http.request(method, f"/auth/v1/users{path}", json=body)
            assert (again.status_code, "erased" in again.json()["detail"]) == (409, True)
    assert await refused(rig, key["key"]) == "invalid_token"
    assert Counter(type(fact) for fact in rig.facts()[-5:]) == {
        UserErased: 1,
        AccessRevoked: 3,
        AgentRegistered: 1,
    }
    keys = await rig.store.read(lambda it: it.of(API_KEYS, "default"))
    assert [key.principal.name for key in keys.values()] == ["olga"]


async def test_who_was_erased_may_come_back_as_another_user(rig: Rig) -> None:
    async with rig.client(await rig.key("admin")) as http:
        await http.post("/auth/v1/users", json={"name": "ana", "identities": [LINK]})
        await http.delete("/auth/v1/users/ana")
        made = await http.post("/auth/v1/users", json={"name": "ana-2", "identities": [LINK]})
        assert made.status_code == 201
    users = await rig.store.read(lambda it: it.of(USERS, "default"))
    digest = identity_digest(IDP, "8d1f")
    assert {user.name: user.identities for user in users.values()} == {
        "ana": (),
        "ana-2": (digest,),
    }


async def test_identities_are_linked_and_unlinked(rig: Rig) -> None:
    other = {"issuer": IDP, "subject": "a b&c"}
    async with rig.client(await rig.key("operator")) as http:
        await http.post("/auth/v1/users", json={"name": "ana"})
        await http.post("/auth/v1/users", json={"name": "bob"})
        await http.post("/auth/v1/users/ana/identities", json=LINK)
        linked = await http.post("/auth/v1/users/ana/identities", json=other)
        assert linked.json()["identities"] == [LINK, other]
        taken = await http.post("/auth/v1/users/bob/identities", json=LINK)
        assert (taken.status_code, "another user" in taken.json()["detail"]) == (409, True)
        path = "/auth/v1/users/ana/identities"
        assert (await http.delete(path, params=other)).status_code == 204
        assert (await http.get("/auth/v1/users/ana")).json()["identities"] == [LINK]
    person = await rig.store.read(lambda it: it.person("default", "ana"))
    assert person is not None
    assert person.identities == (Identity(IDP, "8d1f"),)


# -- tenants --------------------------------------------------------------------------------------


async def tenant(rig: Rig, http: httpx2.AsyncClient) -> str:
    key: str = (await http.post("/auth/v1/tenants", json={"name": "acme"})).json()["key"]
    await rig.reader.load()
    return key


async def test_a_tenant_s_life(rig: Rig) -> None:
    async with rig.client(await rig.key("admin")) as http:
        key = await tenant(rig, http)
        await rig.tokens.verify(key)
        left = await http.post("/auth/v1/tenants/acme/disable", json={"reason": "left"})
        assert left.status_code == 204
        assert await refused(rig, key) == "revoked"
        shown = (await http.get("/auth/v1/tenants/acme")).json()
        assert (shown["enabled"], shown["disabled_at"]) == (False, NOON.isoformat())
        assert (await http.post("/auth/v1/tenants/acme/enable")).status_code == 204
        await rig.reader.load()
        await rig.tokens.verify(key)
        assert (await http.get("/auth/v1/tenants")).json()["tenants"] == [
            {
                "name": "acme",
                "enabled": True,
                "created_at": NOON.isoformat(),
                "disabled_at": None,
            }
        ]
    assert {fact.type for fact in rig.facts()[1:]} == {
        "interlock.key.created.v1",
        "interlock.tenant.created.v1",
        "interlock.tenant.disabled.v1",
        "interlock.tenant.enabled.v1",
    }


async def test_only_people_of_the_default_tenant_manage_tenants_and_never_shut_it(rig: Rig) -> None:
    await rig.store.change(lambda it: it.add_tenant("default", NOON))
    async with rig.client(await rig.key("admin")) as http:
        key = await tenant(rig, http)
        own = await http.post("/auth/v1/tenants/default/disable", json={})
        assert (own.status_code, own.json()["code"]) == (409, "conflict")
        assert (await http.post("/auth/v1/tenants/x/enable")).status_code == 404
    async with rig.client(key) as theirs:
        for method, path in (("GET", ""), ("GET", "/acme"), ("POST", "/acme/enable")):
            answer = await theirs.request(method, f"/auth/v1/tenants{path}")
            assert answer.status_code == 403, path
