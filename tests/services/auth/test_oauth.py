"""The embedded issuer, as OAuth and MCP clients meet it."""

from datetime import timedelta
from itertools import count
from typing import Any

import httpx2
import orjson
import pytest
from joserfc.jwk import KeySet
from joserfc.jwt import decode
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from interlock.contracts.changes import SigningKeyRotated
from interlock.errors import Refused
from interlock.identity.asgi import answered, authenticate
from interlock.identity.sealing import Seal
from interlock.identity.submissions import AgentKey
from interlock.identity.tokens import Tokens
from interlock.state.memory import MemoryStateReader
from services.auth.http.oauth import ASSERTION
from tests.services.auth.rig import EDGE, KEYRING, KINDS, NOON, Rig, basic, public, signer

KEY = AgentKey("default", signer("copilot"))
NUMBERS = count(1)
GRANT = {"grant_type": "client_credentials"}


async def ask(rig: Rig, headers: dict[str, str] | None = None, **form: Any) -> httpx2.Response:
    async with rig.client() as http:
        return await http.post("/auth/token", data={**GRANT, **form}, headers=headers)


@pytest.fixture
async def secret(rig: Rig) -> str:
    """An API key of the agent `copilot`."""
    await rig.agent(public_keys=(public(KEY),), may_act_for=("ana",), token_scopes=("crm:read",))
    return await rig.agent_key()


def assertion(**claims: Any) -> str:
    values = {
        "iss": "copilot",
        "sub": "copilot",
        "aud": f"{EDGE}/auth",
        "exp": (NOON + timedelta(minutes=1)).timestamp(),
        "jti": f"jti-{next(NUMBERS)}",
    } | claims
    return KEY.signer.sign("JWT", values)


@pytest.mark.parametrize("where", ["openid-configuration", "oauth-authorization-server"])
async def test_the_metadata_names_the_issuer_and_its_endpoints(rig: Rig, where: str) -> None:
    async with rig.client() as http:
        told = (await http.get(f"/auth/.well-known/{where}")).json()
        assert told["issuer"] == f"{EDGE}/auth"
        for name in ("token_endpoint", "jwks_uri", "authorization_endpoint"):
            assert (await http.get(told[name])).status_code != 404


@pytest.mark.parametrize("method", ["basic", "post", "assertion"])
async def test_an_agent_gets_a_token_that_doors_believe(rig: Rig, secret: str, method: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "basic": {"headers": basic("copilot", secret)},
        "post": {"client_id": "default/copilot", "client_secret": secret},
        "assertion": {"client_assertion_type": ASSERTION, "client_assertion": assertion()},
    }
    answer = await ask(rig, **ways[method])
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 600)
    caller = await rig.tokens.verify(told["access_token"])
    assert caller.principal.label == "agent:copilot"
    assert " ".join(caller.token_scopes) == told["scope"]
    assert "crm:read" in caller.token_scopes
    assert caller.expires_at == NOON + timedelta(minutes=10)


async def test_other_libraries_can_read_the_token_and_the_key_set(rig: Rig, secret: str) -> None:
    token = (await ask(rig, basic("copilot", secret))).json()["access_token"]
    async with rig.client() as http:
        keys = (await http.get("/auth/jwks")).json()
    assert not any("d" in key for key in keys["keys"])
    decoded = decode(token, KeySet.import_key_set(keys))
    assert (decoded.header["alg"], decoded.header["typ"]) == ("ES256", "at+jwt")
    assert decoded.claims["sub"] == decoded.claims["client_id"] == "copilot"


async def test_a_key_for_a_user_makes_tokens_for_that_user(rig: Rig, secret: str) -> None:
    who = (await rig.tokens.verify(secret)).principal.model_copy(update={"user": "ana"})
    theirs = await rig.agent_key(principal=who)
    token = (await ask(rig, basic("copilot", theirs))).json()["access_token"]
    assert (await rig.tokens.verify(token)).principal.label == "agent:copilot for ana"


async def test_a_token_ends_no_later_than_the_key_that_it_was_got_with(
    rig: Rig, secret: str
) -> None:
    brief = await rig.agent_key(expires_at=NOON + timedelta(minutes=1))
    assert (await ask(rig, basic("copilot", brief))).json()["expires_in"] == 60


@pytest.mark.parametrize(
    ("form", "audience", "scope"),
    [
        ({"resource": f"{EDGE}/mcp/"}, f"{EDGE}/mcp", "crm:read crm:write"),
        ({"resource": [EDGE, f"{EDGE}/mcp"]}, [EDGE, f"{EDGE}/mcp"], "crm:read crm:write"),
        ({"scope": "crm:write unknown"}, EDGE, "crm:write"),
    ],
)
async def test_a_token_is_for_the_resources_and_scopes_asked(
    rig: Rig, secret: str, form: dict[str, Any], audience: object, scope: str
) -> None:
    told = (await ask(rig, basic("copilot", secret), **form)).json()
    decoded = decode(
        told["access_token"], KeySet.import_key_set(orjson.loads(await rig.issuing.jwks()))
    )
    assert (decoded.claims["aud"], told["scope"]) == (audience, scope)


@pytest.mark.parametrize(
    ("form", "error", "status"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type", 400),
        ({"grant_type": ["client_credentials", "password"]}, "invalid_request", 400),
        ({"scope": "unknown"}, "invalid_scope", 400),
        ({"resource": "https://elsewhere.example"}, "invalid_target", 400),
        ({"client_secret": "x"}, "invalid_client", 401),
        ({"padding": "x" * 70_000}, "invalid_request", 400),
    ],
)
async def test_a_bad_request_is_told_as_oauth_wants(
    rig: Rig, secret: str, form: dict[str, Any], error: str, status: int
) -> None:
    answer = await ask(rig, basic("copilot", secret), **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer x"},
        basic("copilot", "wrong"),
        basic("copilot", "ilk_0000000000000001_wrong"),
    ],
)
async def test_who_proves_nothing_gets_nothing(
    rig: Rig, secret: str, headers: dict[str, str] | None
) -> None:
    answer = await ask(rig, headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


async def test_a_secret_is_good_for_its_own_agent_only(rig: Rig, secret: str) -> None:
    await rig.agent("other")
    assert (await ask(rig, basic("other", secret))).status_code == 401
    assert (await ask(rig, basic("acme/copilot", secret))).status_code == 401
    person = await rig.key("admin")
    assert (await ask(rig, basic("olga", person))).status_code == 401


async def test_a_token_is_no_secret_with_which_to_get_the_next(rig: Rig, secret: str) -> None:
    token = (await ask(rig, basic("copilot", secret))).json()["access_token"]
    assert (await ask(rig, basic("copilot", token))).status_code == 401


@pytest.mark.parametrize(
    "made",
    [
        assertion(aud="https://elsewhere.example"),
        assertion(sub="other"),
        assertion(sub=None),
        assertion(exp=(NOON - timedelta(minutes=1)).timestamp()),
        AgentKey("default", signer("copilot")).signer.sign("JWT", {"sub": "copilot"}),
        "garbage",
    ],
)
async def test_an_assertion_of_anybody_else_gets_nothing(rig: Rig, secret: str, made: str) -> None:
    answer = await ask(rig, client_assertion_type=ASSERTION, client_assertion=made)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_disabled_agent_gets_no_token(rig: Rig, secret: str) -> None:
    await rig.agent(public_keys=(public(KEY),), enabled=False)
    assert (await ask(rig, basic("copilot", secret))).status_code == 401
    answer = await ask(rig, client_assertion_type=ASSERTION, client_assertion=assertion())
    assert answer.status_code == 401


async def test_after_a_rotation_old_tokens_are_good_until_they_end(rig: Rig, secret: str) -> None:
    old = (await ask(rig, basic("copilot", secret))).json()["access_token"]
    second = MemoryStateReader(rig.shared, KINDS)
    await second.load()
    far_door = Tokens(second, audiences=(EDGE,), now=rig.clock)
    async with rig.client(await rig.key("admin")) as http:
        assert (await http.post("/auth/v1/signing-keys/rotate")).status_code == 201
    new = (await ask(rig, basic("copilot", secret))).json()["access_token"]
    assert old.split(".")[0] != new.split(".")[0]
    for token in (old, new):
        await far_door.verify(token)
    assert isinstance(rig.facts()[-1], SigningKeyRotated)
    rig.clock.time += timedelta(minutes=5)
    assert not await rig.issuing.forget()
    rig.clock.time += timedelta(minutes=6)
    assert await rig.issuing.forget()
    await rig.relay.flush()
    await second.load()
    assert len(orjson.loads(await rig.issuing.jwks())["keys"]) == 1
    rig.clock.time = NOON
    with pytest.raises(Refused, match="does not publish"):
        await far_door.verify(old)
    await far_door.verify(new)


async def test_a_second_start_keeps_the_key_and_a_new_url_moves_the_issuer(
    rig: Rig, secret: str
) -> None:
    token = (await ask(rig, basic("copilot", secret))).json()["access_token"]
    await rig.issuing.ensure()
    await rig.tokens.verify(token)
    published = len(rig.shared.entries)
    object.__setattr__(rig.issuing, "edge", "https://moved.example")
    await rig.issuing.ensure()
    await rig.relay.flush()
    await rig.reader.load()
    assert len(rig.shared.entries) == published + 1
    with pytest.raises(Refused, match="not trusted"):
        await rig.tokens.verify(token)


async def test_private_keys_are_sealed_in_the_database(rig: Rig) -> None:
    (key,) = await rig.store.read(lambda records: list(records.signing_keys()))
    assert "d" not in orjson.loads(key.public)
    assert key.public[10:40] not in key.sealed
    assert orjson.loads(Seal(KEYRING).open(key.sealed))["kid"] == key.kid


async def test_a_seal_of_another_suite_key_is_named() -> None:
    sealed = Seal(KEYRING).close(b"secret")
    other = type(KEYRING)({"k2": b"x" * 32})
    with pytest.raises(Refused, match="suite key `k1`"):
        Seal(other).open(sealed)
    with pytest.raises(Refused, match="suite key `k1`"):
        Seal(type(KEYRING)({"k1": b"x" * 32})).open(sealed)


class Memory:
    """Where an MCP client keeps its tokens."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise AssertionError("nothing is registered")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_the_mcp_sdk_finds_the_issuer_and_gets_in(rig: Rig, secret: str, method: Any) -> None:
    async def mcp(request: Request) -> Response:
        caller = await authenticate(request, rig.tokens, resource=f"{EDGE}/mcp")
        return JSONResponse({"label": caller.principal.label})

    async def metadata(request: Request) -> Response:
        return JSONResponse({"resource": f"{EDGE}/mcp", "authorization_servers": [f"{EDGE}/auth"]})

    app = Starlette(
        routes=[
            Route("/mcp", answered(mcp), methods=["POST"]),
            Route("/.well-known/oauth-protected-resource/mcp", metadata),
            Mount("/auth", routes=rig.routes()),
        ]
    )
    provider = ClientCredentialsOAuthProvider(
        server_url=f"{EDGE}/mcp",
        storage=Memory(),
        client_id="copilot",
        client_secret=secret,
        token_endpoint_auth_method=method,
        issuer=f"{EDGE}/auth",
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=EDGE, auth=provider) as http:
        answer = await http.post("/mcp", json={})
    assert answer.json() == {"label": "agent:copilot"}
