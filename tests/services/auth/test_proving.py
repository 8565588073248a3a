"""Clients at the token endpoint: assertions are good once, for whom and what they say."""

from datetime import timedelta
from itertools import count
from typing import Any

import httpx2
import orjson
import pytest
from joserfc.jwk import ECKey, KeySet
from joserfc.jwt import decode
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from interlock.contracts.access import IssuerRecord
from interlock.contracts.task import digest_of
from interlock.errors import Refused
from interlock.identity import jose
from interlock.identity.asgi import answered, authenticate
from interlock.identity.issuer import JWT_BEARER
from interlock.identity.tokens import key_set
from services.auth.http.oauth import ASSERTION
from tests.services.auth.rig import EDGE, NOON, OLGA, Rig, basic, public
from tests.services.auth.test_oauth import KEY, Memory, ask, assertion

IDP = "https://idp.example"
DOCUMENT = "https://copilot.example/client"
NUMBERS = count(1)
IDP_KEY = ECKey.generate_key("P-256", {"kid": "idp"})


@pytest.fixture
async def secret(rig: Rig) -> str:
    """An API key of `copilot`, which may act for ana, whom an issuer knows."""
    rig.discovery.key_sets[IDP] = jwks(IDP_KEY)
    await rig.issuers.trust(IssuerRecord(tenant="default", issuer=IDP, audiences=(), jwks=""), OLGA)
    await rig.agent(public_keys=(public(KEY),), may_act_for=("ana",))
    return await rig.agent_key()


def jwks(key: ECKey) -> str:
    return orjson.dumps({"keys": [key.as_dict(private=False)]}).decode()


def id_jag(key: ECKey = IDP_KEY, typ: str = "oauth-id-jag+jwt", **claims: Any) -> str:
    """An identity assertion for ana at `copilot`; None leaves a claim out."""
    said = {
        "iss": IDP,
        "sub": "ana",
        "aud": f"{EDGE}/auth",
        "client_id": "copilot",
        "resource": f"{EDGE}/mcp",
        "scope": "crm:read",
        "iat": NOON.timestamp(),
        "exp": (NOON + timedelta(minutes=5)).timestamp(),
        "jti": f"jag-{next(NUMBERS)}",
    } | claims
    header = {"alg": "ES256", "kid": key.kid, "typ": typ}
    return jose.sign(key, header, {n: v for n, v in said.items() if v is not None}, jose.TOKENS)


async def grant(rig: Rig, secret: str, given: str, **form: Any) -> httpx2.Response:
    return await ask(rig, basic("copilot", secret), grant_type=JWT_BEARER, assertion=given, **form)


async def test_an_assertion_is_good_once(rig: Rig, secret: str) -> None:
    form: Any = {"client_assertion_type": ASSERTION, "client_assertion": assertion()}
    assert (await ask(rig, **form)).status_code == 200
    again = await ask(rig, **form)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert "used before" in again.json()["error_description"]


@pytest.mark.parametrize("changes", [{"jti": None}, {"jti": ""}, {"jti": "x" * 300}])
async def test_an_assertion_without_an_id_of_its_own_is_refused(
    rig: Rig, secret: str, changes: dict[str, Any]
) -> None:
    made = assertion(**changes)
    answer = await ask(rig, client_assertion_type=ASSERTION, client_assertion=made)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_an_assertion_is_for_the_client_that_the_request_names(rig: Rig, secret: str) -> None:
    form: Any = {"client_assertion_type": ASSERTION, "client_assertion": assertion()}
    assert (await ask(rig, client_id="other", **form)).status_code == 401
    assert (await ask(rig, client_id="copilot", **form)).status_code == 200


async def test_assertions_are_forgotten_when_they_have_ended(rig: Rig) -> None:
    def use(digest: str) -> Any:
        return rig.store.change(lambda records: records.use_assertion(digest_of(digest), NOON))

    assert await use("a")
    assert not await use("a")
    await rig.store.change(lambda records: records.forget_assertions(NOON - timedelta(seconds=1)))
    assert not await use("a")
    await rig.store.change(lambda records: records.forget_assertions(NOON))
    assert await use("a")


async def test_a_token_names_the_key_that_its_assertion_was_signed_with(
    rig: Rig, secret: str
) -> None:
    form: Any = {"client_assertion_type": ASSERTION, "client_assertion": assertion()}
    token = (await ask(rig, **form)).json()["access_token"]
    assert (await rig.tokens.verify(token)).bound_to == (f"jwk:{KEY.signer.key.thumbprint()}",)
    await rig.agent(may_act_for=("ana",))
    await rig.reader.load()
    with pytest.raises(Refused, match="which is gone"):
        await rig.tokens.verify(token)


async def test_a_token_ends_at_once_with_the_api_key_it_was_got_with(rig: Rig, secret: str) -> None:
    token = (await ask(rig, basic("copilot", secret))).json()["access_token"]
    key_id = (await rig.tokens.verify(secret)).token_id
    await rig.tokens.verify(token)
    await rig.access.revoke_key("default", key_id, OLGA)
    await rig.relay.flush()
    await rig.reader.load()
    with pytest.raises(Refused, match="which is gone"):
        await rig.tokens.verify(token)


# -- identity assertions --------------------------------------------------------------------------


async def test_an_identity_assertion_is_exchanged_for_a_token_of_the_agent_for_the_user(
    rig: Rig, secret: str
) -> None:
    answer = await grant(rig, secret, id_jag())
    told = answer.json()
    assert answer.status_code == 200, told
    claims = decode(
        told["access_token"], KeySet.import_key_set(orjson.loads(await rig.issuing.jwks()))
    ).claims
    assert (claims["aud"], claims["sub"], told["scope"]) == (f"{EDGE}/mcp", "ana", "crm:read")
    caller = await rig.tokens.verify(told["access_token"])
    assert caller.principal.label == "agent:copilot for ana"
    assert f"issuer:{IDP}" in caller.bound_to


async def test_an_identity_assertion_is_good_once(rig: Rig, secret: str) -> None:
    given = id_jag()
    assert (await grant(rig, secret, given)).status_code == 200
    assert (await grant(rig, secret, given)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "garbage",
        id_jag(typ="JWT"),
        id_jag(typ="at+jwt"),
        id_jag(iss="https://elsewhere.example"),
        id_jag(aud=EDGE),
        id_jag(aud=[f"{EDGE}/auth", "https://elsewhere.example"]),
        id_jag(client_id="other"),
        id_jag(client_id=None),
        id_jag(sub="bob"),
        id_jag(sub=None),
        id_jag(iat=None),
        id_jag(jti=None),
        id_jag(exp=(NOON - timedelta(minutes=1)).timestamp()),
        id_jag(exp=None),
        id_jag(key=ECKey.generate_key("P-256", {"kid": "idp"})),
        id_jag(key=ECKey.generate_key("P-256", {"kid": "other"})),
    ],
)
async def test_an_identity_assertion_that_is_not_for_this_gets_nothing(
    rig: Rig, secret: str, given: str
) -> None:
    answer = await grant(rig, secret, given)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant"), answer.text


@pytest.mark.parametrize(
    ("said", "form", "error"),
    [
        ({"scope": "mail:read"}, {}, "invalid_scope"),
        ({}, {"scope": "crm:write"}, "invalid_scope"),
        ({}, {"resource": f"{EDGE}/servers/crm/mcp"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, {}, "invalid_target"),
    ],
)
async def test_a_token_says_no_more_than_assertion_and_client_both_may(
    rig: Rig, secret: str, said: dict[str, Any], form: dict[str, Any], error: str
) -> None:
    answer = await grant(rig, secret, id_jag(**said), **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_an_assertion_made_before_its_user_was_revoked_gets_nothing(
    rig: Rig, secret: str
) -> None:
    given = id_jag()
    rig.clock.time += timedelta(minutes=1)
    await rig.access.revoke("default", ("user", "ana"), "left", OLGA)
    await rig.relay.flush()
    await rig.reader.load()
    rig.clock.time += timedelta(minutes=1)
    assert (await grant(rig, secret, given)).json()["error"] == "invalid_grant"
    later = id_jag(iat=rig.clock.time.timestamp(), exp=rig.clock.time.timestamp() + 60)
    assert (await grant(rig, secret, later)).status_code == 200


async def test_an_identity_provider_s_new_key_is_found(rig: Rig, secret: str) -> None:
    key = ECKey.generate_key("P-256", {"kid": "new"})
    rig.discovery.key_sets[IDP] = jwks(key)
    rig.clock.time += timedelta(seconds=11)
    assert (await grant(rig, secret, id_jag(key=key))).status_code == 200
    asked = len(rig.discovery.asked)
    strange = id_jag(key=ECKey.generate_key("P-256", {"kid": "strange"}))
    for _ in range(3):
        assert (await grant(rig, secret, strange)).status_code == 400
    assert len(rig.discovery.asked) == asked


async def test_the_mcp_sdk_gets_in_with_an_identity_assertion(rig: Rig, secret: str) -> None:
    async def mcp(request: Request) -> Response:
        caller = await authenticate(request, rig.tokens, resource=f"{EDGE}/mcp")
        return JSONResponse({"label": caller.principal.label})

    async def signed_in(audience: str, resource: str) -> str:
        return id_jag(aud=audience, resource=resource)

    app = Starlette(
        routes=[
            Route("/mcp", answered(mcp), methods=["POST"]),
            Mount("/auth", routes=rig.routes()),
        ]
    )
    provider = IdentityAssertionOAuthProvider(
        server_url=f"{EDGE}/mcp",
        storage=Memory(),
        client_id="copilot",
        client_secret=secret,
        issuer=f"{EDGE}/auth",
        assertion_provider=signed_in,
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url=EDGE, auth=provider) as http:
        answer = await http.post("/mcp", json={})
    assert answer.json() == {"label": "agent:copilot for ana"}


# -- client documents -----------------------------------------------------------------------------


def document(key: ECKey, **changes: Any) -> dict[str, Any]:
    return {
        "client_id": DOCUMENT,
        "client_name": "Copilot",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": orjson.loads(jwks(key)),
    } | changes


def by_document(key: ECKey, **claims: Any) -> dict[str, Any]:
    said = {
        "iss": DOCUMENT,
        "sub": DOCUMENT,
        "aud": f"{EDGE}/auth",
        "exp": (NOON + timedelta(minutes=1)).timestamp(),
        "jti": f"doc-{next(NUMBERS)}",
    } | claims
    made = jose.sign(key, {"alg": "ES256", "kid": key.kid, "typ": "JWT"}, said, jose.TOKENS)
    return {"client_assertion_type": ASSERTION, "client_assertion": made}


async def test_a_client_is_known_by_the_url_of_its_document(rig: Rig) -> None:
    await rig.agent(client_id=DOCUMENT, token_scopes=("crm:read",))
    rig.discovery.documents[DOCUMENT] = document(IDP_KEY)
    for _ in range(3):
        answer = await ask(rig, **by_document(IDP_KEY))
        assert answer.status_code == 200, answer.text
    assert rig.discovery.asked == [DOCUMENT]
    caller = await rig.tokens.verify(answer.json()["access_token"])
    assert (caller.principal.label, caller.bound_to) == ("agent:copilot", (f"client:{DOCUMENT}",))
    new = ECKey.generate_key("P-256", {"kid": "new"})
    rig.discovery.documents[DOCUMENT] = document(new)
    assert (await ask(rig, **by_document(new))).status_code == 401
    rig.clock.time += timedelta(seconds=11)
    assert (await ask(rig, **by_document(new))).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": f"{DOCUMENT}/other"},
        {"token_endpoint_auth_method": "none"},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"client_secret": "x"},
        {"jwks": {"keys": []}},
    ],
)
async def test_a_document_that_is_not_right_proves_nobody(
    rig: Rig, changes: dict[str, Any]
) -> None:
    await rig.agent(client_id=DOCUMENT)
    rig.discovery.documents[DOCUMENT] = document(IDP_KEY, **changes)
    answer = await ask(rig, **by_document(IDP_KEY))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_no_document_is_fetched_for_a_client_that_is_nobody_s_agent(rig: Rig) -> None:
    rig.discovery.documents[DOCUMENT] = document(IDP_KEY)
    assert (await ask(rig, **by_document(IDP_KEY))).status_code == 401
    assert rig.discovery.asked == []


async def test_a_url_is_one_agent_s_and_is_a_proper_one(rig: Rig) -> None:
    await rig.agent(client_id=DOCUMENT)
    with pytest.raises(Refused, match="another agent"):
        await rig.agent("other", client_id=DOCUMENT)
    for url in ("http://a.example/x", "https://a.example", "https://a.example/", "https://[/x"):
        with pytest.raises(Refused, match="no `client_id`"):
            await rig.agent(client_id=url)
    for url in ("https://a.example/x#y", "https://u@a.example/x", "https://a.example/../x"):
        with pytest.raises(Refused, match="no `client_id`"):
            await rig.agent(client_id=url)


def test_a_key_set_of_a_client_may_be_empty() -> None:
    assert not key_set("{}")
