"""MCP clients and a real Keycloak: how people and agents get in, and how they are put out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.components.keycloak import Keycloak
from tests.components.signing_in import FORM, REDIRECT
from tests.components.suite import until
from tests.flows.test_keycloak import PEOPLE, Trusting, trusts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # Keycloak starts in one to five minutes
AGENT = "deal-desk"


@pytest.fixture(scope="module")
def trusting(
    keycloak_server: Keycloak, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trusting]:
    """Told which scopes to ask for, as an MCP client otherwise asks for all that the realm has."""
    data = tmp_path_factory.mktemp("mcp") / "data"
    scopes = {"INTERLOCK_GATEWAY_CHALLENGE_SCOPES": '["openid"]'}
    with trusts(keycloak_server, data, **scopes) as made:
        yield made


@dataclass
class Kept:
    """What an MCP client keeps: the client that the realm knows, then its tokens."""

    client: OAuthClientInformationFull
    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Browser:
    """A person at the login page that the client opens."""

    user: str
    password: str
    asked: dict[str, list[str]] = field(default_factory=dict)
    _answer: dict[str, list[str]] = field(default_factory=dict)

    async def open(self, url: str) -> None:
        self.asked = parse_qs(urlsplit(url).query)
        async with httpx2.AsyncClient(timeout=30) as http:
            page = await http.get(url)
            form = FORM.search(page.text)
            assert form is not None, page.text[:500]
            cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
            filled = {"username": self.user, "password": self.password}
            answer = await http.post(unescape(form[1]), data=filled, headers={"Cookie": cookies})
        self._answer = parse_qs(urlsplit(answer.headers["location"]).query)

    async def back(self) -> AuthorizationCodeResult:
        told = {name: values[0] for name, values in self._answer.items()}
        return AuthorizationCodeResult(
            code=told["code"], state=told.get("state"), iss=told.get("iss")
        )


def signing_in(trusting: Trusting, browser: Browser) -> tuple[OAuthClientProvider, Kept]:
    known = OAuthClientInformationFull(
        client_id=PEOPLE,
        redirect_uris=[REDIRECT],
        token_endpoint_auth_method="none",
        issuer=trusting.keycloak.issuer,
    )
    kept = Kept(known)
    told = OAuthClientMetadata(
        redirect_uris=[REDIRECT],
        token_endpoint_auth_method="none",
        grant_types=["authorization_code"],  # else it asks for `offline_access`, too
    )
    url = f"{trusting.suite.url}/mcp"
    return OAuthClientProvider(url, told, kept, browser.open, browser.back), kept


async def tools(trusting: Trusting, auth: httpx2.Auth) -> list[str]:
    async with httpx2.AsyncClient(auth=auth, timeout=30) as http:
        transport = streamable_http_client(f"{trusting.suite.url}/mcp", http_client=http)
        async with Client(transport, mode="2026-07-28") as client:
            return [one.name for one in (await client.list_tools()).tools]


async def test_a_person_signs_in_from_an_mcp_client_by_code_and_pkce(trusting: Trusting) -> None:
    browser = Browser("omar", trusting.keycloak.password("omar"))
    provider, kept = signing_in(trusting, browser)
    assert await tools(trusting, provider) == []
    assert browser.asked["code_challenge_method"] == ["S256"]
    assert browser.asked["resource"] == [f"{trusting.suite.url}/mcp"]
    assert kept.tokens is not None
    told = trusting.whoami(kept.tokens.access_token).json()
    assert (told["principal"]["kind"], told["principal"]["name"]) == ("person", "omar")


async def test_an_agent_gets_in_from_an_mcp_client_by_its_own_credentials(
    trusting: Trusting,
) -> None:
    issuer = trusting.keycloak.issuer
    provider = ClientCredentialsOAuthProvider(
        server_url=f"{trusting.suite.url}/mcp",
        storage=Kept(OAuthClientInformationFull(client_id=AGENT, issuer=issuer)),
        client_id=AGENT,
        client_secret=trusting.keycloak.secret(AGENT),
        issuer=issuer,
    )
    assert await tools(trusting, provider) == []


def test_a_person_who_was_revoked_is_out_at_once_and_may_sign_in_again(trusting: Trusting) -> None:
    token = trusting.person("aldo")
    assert trusting.whoami(token).status_code == 200
    revoked = {"kind": "user", "name": "aldo", "reason": "left"}
    trusting.suite.ask("POST", "/auth/v1/revocations", revoked)
    until(lambda: trusting.whoami(token).status_code == 401, "the token is refused", within=2)
    assert trusting.whoami(token).json()["code"] == "revoked"
    for door in ("/mcp", "/v1/tools", "/audit/v1/records"):
        assert trusting.get(door, token).status_code == 401, door
    until(lambda: trusting.whoami(trusting.person("aldo")).status_code == 200, "a new token does")


def test_keys_of_the_realm_change_without_a_restart(trusting: Trusting) -> None:
    keycloak = trusting.keycloak
    old = keycloak.client_token(AGENT)
    assert trusting.whoami(old).status_code == 200
    known = [one for one in providers(trusting) if signs(one)]
    made = {
        "name": "rotated",
        "providerId": "rsa-generated",
        "providerType": "org.keycloak.keys.KeyProvider",
        "config": {"priority": ["1000"], "algorithm": ["RS256"], "keySize": ["2048"]},
    }
    keycloak.admin("POST", "/components", made)
    for one in known:
        keycloak.admin("DELETE", f"/components/{one['id']}")
    new = keycloak.client_token(AGENT)
    assert head(new) != head(old)
    until(lambda: trusting.whoami(new).status_code == 200, "the new key is known", within=30)
    for path in ("/auth/v1/whoami", "/v1/tools", "/policy/v1/status"):
        until(lambda at=path: trusting.get(at, old).status_code == 401, "the old one is not")  # type: ignore[misc]  # a default, not an argument
    assert "does not publish" in trusting.whoami(old).json()["detail"]


def providers(trusting: Trusting) -> list[dict[str, Any]]:
    path = "/components?type=org.keycloak.keys.KeyProvider"
    found: list[dict[str, Any]] = trusting.keycloak.admin("GET", path)
    return found


def signs(provider: dict[str, Any]) -> bool:
    return bool(re.fullmatch(r"rsa(-generated)?", provider["providerId"]))


def head(token: str) -> str:
    return token.partition(".")[0]
