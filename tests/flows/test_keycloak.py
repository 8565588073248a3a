"""A real Keycloak with the realm of the demo: whom its tokens let in, and as whom."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from tests.components.crm import SERVER
from tests.components.keycloak import Keycloak
from tests.components.signing_in import SignIn
from tests.components.suite import Suite, suite, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # Keycloak starts in one to five minutes
PEOPLE = "interlock-people"
AGENTS = ("sales-copilot", "deal-desk")


@dataclass(frozen=True)
class Trusting:
    """A suite that believes the realm's tokens."""

    suite: Suite
    keycloak: Keycloak

    def whoami(self, token: str) -> httpx2.Response:
        return self.get("/auth/v1/whoami", token)

    def get(self, path: str, token: str) -> httpx2.Response:
        bearer = {"Authorization": f"Bearer {token}"}
        return httpx2.get(self.suite.url + path, headers=bearer, timeout=20)

    def person(self, name: str) -> str:
        signing_in = SignIn(self.keycloak.issuer, PEOPLE)
        return signing_in.token(name, self.keycloak.password(name))


@pytest.fixture(scope="module")
def trusting(
    keycloak_server: Keycloak, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trusting]:
    with trusts(keycloak_server, tmp_path_factory.mktemp("trusting") / "data") as made:
        yield made


@contextmanager
def trusts(keycloak: Keycloak, data: Path, **env: str) -> Iterator[Trusting]:
    """A suite with the realm's agents."""
    with suite(data, env=env) as running:
        trusted = {
            "issuer": keycloak.issuer,
            "audiences": ["interlock"],
            "user_claim": "preferred_username",
        }
        running.ask("POST", "/auth/v1/issuers", trusted)
        for name in AGENTS:
            running.ask("POST", "/auth/v1/agents", {"name": name, "may_act_for": ["sam"]})
        yield Trusting(running, keycloak)


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    told: dict[str, Any] = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return told


def test_an_agent_s_own_token_is_that_agent_s_with_the_scopes_it_has(trusting: Trusting) -> None:
    told = trusting.whoami(trusting.keycloak.client_token("deal-desk")).json()
    assert told["principal"] | {"label": ""} == {
        "tenant": "default",
        "kind": "agent",
        "name": "deal-desk",
        "user": None,
        "label": "",
    }
    assert set(told["token_scopes"]) == {"crm:read", "discount:request"}
    assert "agent" in told["roles"]
    assert not {"operator", "approver", "reviewer", "auditor"} & set(told["roles"])
    asked = trusting.keycloak.client_token("deal-desk", scope="discount:grant")
    assert "discount:grant" in trusting.whoami(asked).json()["token_scopes"]


@pytest.mark.parametrize(
    ("person", "role", "may"),
    [
        ("omar", "operator", "agents:write"),
        ("rita", "reviewer", "policy:write"),
        ("dana", "approver", "approvals:decide"),
        ("aldo", "auditor", "audit:read"),
    ],
)
def test_a_person_who_signs_in_has_the_role_that_the_realm_gives(
    trusting: Trusting, person: str, role: str, may: str
) -> None:
    told = trusting.whoami(trusting.person(person)).json()
    who = told["principal"]
    assert (who["tenant"], who["kind"], who["name"]) == ("default", "person", person)
    assert role in told["roles"]
    assert may in told["rights"]
    assert "issuers:write" not in told["rights"]


def test_an_agent_at_which_a_user_signed_in_acts_for_that_user(trusting: Trusting) -> None:
    secret = trusting.keycloak.secret("sales-copilot")
    here = SignIn(trusting.keycloak.issuer, "sales-copilot", secret)
    told = trusting.whoami(here.token("sam", trusting.keycloak.password("sam"))).json()
    who = told["principal"]
    assert (who["kind"], who["name"], who["user"]) == ("agent", "sales-copilot", "sam")
    assert told["groups"] == ["sales"]
    refused = trusting.whoami(here.token("dana", trusting.keycloak.password("dana")))
    assert (refused.status_code, refused.json()["code"]) == (403, "not_delegated")


def test_a_role_of_the_realm_opens_the_doors_that_it_should_and_no_other(
    trusting: Trusting,
) -> None:
    doors = {
        "omar": "/policy/v1/dead",
        "aldo": "/audit/v1/records",
        "rita": "/policy/v1/policies",
    }
    for person, door in doors.items():
        assert trusting.get(door, trusting.person(person)).status_code == 200, person
    sam = trusting.person("sam")
    assert {door: trusting.get(door, sam).status_code for door in doors.values()} == {
        door: 403 for door in doors.values()
    }


def test_a_user_is_linked_with_who_signs_in_and_is_out_at_once_when_disabled(
    trusting: Trusting,
) -> None:
    suite, token = trusting.suite, trusting.person("rita")
    body = {"name": "rita", "roles": ["auditor"]}
    suite.ask("POST", "/auth/v1/users", body)
    unlinked = trusting.whoami(token)
    assert (unlinked.status_code, unlinked.json()["code"]) == (401, "unknown_user")
    link = {"issuer": trusting.keycloak.issuer, "subject": "rita"}
    suite.ask("POST", "/auth/v1/users/rita/identities", link)
    assert {"auditor", "reviewer"} <= set(trusting.whoami(token).json()["roles"])
    suite.ask("POST", "/auth/v1/users/rita/disable")
    for good in (token, trusting.person("rita")):
        refused = trusting.get("/v1/tasks", good)
        assert (refused.status_code, refused.json()["code"]) == (401, "disabled_user")
    suite.ask("POST", "/auth/v1/users/rita/enable")


def test_whom_the_realm_lets_in_follows_the_issuer_s_setting(trusting: Trusting) -> None:
    suite, realm = trusting.suite, trusting.keycloak.issuer
    trusted = {"issuer": realm, "audiences": ["interlock"], "user_claim": "preferred_username"}
    token = trusting.person("aldo")
    suite.ask("POST", "/auth/v1/issuers", trusted | {"admits": "registered"})
    try:
        assert trusting.whoami(token).json()["code"] == "unknown_user"
        suite.ask("POST", "/auth/v1/issuers", trusted | {"admits": "provisioned"})
        assert trusting.whoami(token).json()["principal"]["name"] == "aldo"
        told = suite.ask("GET", "/auth/v1/users/aldo")
        assert told["identities"] == [{"issuer": realm, "subject": "aldo"}]
    finally:
        suite.ask("POST", "/auth/v1/issuers", trusted)


def test_a_session_that_ends_at_the_realm_ends_here_where_the_realm_is_asked(
    trusting: Trusting,
) -> None:
    """Introspection (RFC 7662) of Keycloak's JWTs, by a client of ours that has their audience."""
    suite, keycloak = trusting.suite, trusting.keycloak
    client: dict[str, Any] = {
        "clientId": "interlock",
        "secret": "told-to-interlock-alone",
        "publicClient": False,
        "serviceAccountsEnabled": True,
    }
    keycloak.admin("POST", "/clients", client)
    trusted = {"issuer": keycloak.issuer, "audiences": ["interlock"]}
    trusted |= {"user_claim": "preferred_username"}
    asking = {"client_id": "interlock", "client_secret": client["secret"], "tokens": "every"}
    try:
        suite.ask("POST", "/auth/v1/issuers", trusted | {"introspection": asking})
        token = trusting.person("omar")
        assert trusting.whoami(token).json()["principal"]["name"] == "omar"
        (omar,) = keycloak.admin("GET", "/users?username=omar&exact=true")
        keycloak.admin("POST", f"/users/{omar['id']}/logout")
        until(lambda: trusting.whoami(token).status_code == 401, "the token is refused", within=20)
        assert trusting.whoami(token).json()["code"] == "revoked"
    finally:
        suite.ask("POST", "/auth/v1/issuers", trusted)
        (found,) = keycloak.admin("GET", "/clients?clientId=interlock")
        keycloak.admin("DELETE", f"/clients/{found['id']}")


def test_a_token_for_somebody_else_lets_nobody_in(trusting: Trusting) -> None:
    """The realm's own client, without the scope that puts us into `aud`."""
    client: dict[str, Any] = {
        "clientId": "elsewhere",
        "secret": "told-to-nobody-else",
        "serviceAccountsEnabled": True,
        "publicClient": False,
        "defaultClientScopes": ["basic", "identity"],
    }
    trusting.keycloak.admin("POST", "/clients", client)
    try:
        token = trusting.keycloak.client_token("elsewhere", client["secret"])
    finally:
        found = trusting.keycloak.admin("GET", "/clients?clientId=elsewhere")
        trusting.keycloak.admin("DELETE", f"/clients/{found[0]['id']}")
    assert "interlock" not in claims(token).get("aud", [])
    trusting.suite.ask("POST", "/auth/v1/agents", {"name": "elsewhere"})
    for door in ("/auth/v1/whoami", "/mcp", f"/registry/v1/servers/{SERVER}"):
        refused = trusting.get(door, token)
        assert refused.status_code == 401, door
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert trusting.whoami(token).json()["code"] == "wrong_audience"


def test_a_token_of_another_realm_lets_nobody_in(trusting: Trusting) -> None:
    token = trusting.keycloak.admin_token()
    assert claims(token)["iss"] == trusting.keycloak.foreign
    refused = trusting.whoami(token)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert "issuer is not trusted" in refused.json()["detail"]
