"""A door believes a token only of a trusted issuer, for itself, in time, and not revoked."""

import asyncio
import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.contracts.access import AgentRecord, RevocationRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused, Unavailable
from interlock.identity import jose
from interlock.identity.caller import Caller
from interlock.identity.statements import Identity, sign_identity
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS, ISSUERS, REVOCATIONS
from interlock.state.memory import MemoryState, MemoryStateReader
from tests.interlock.identity.build import (
    ISSUER,
    NOON,
    OURS,
    SIGNERS,
    Issuer,
    api_key,
    new_key,
    task,
)
from tests.interlock.identity.conftest import KINDS, Clock


@pytest.fixture
def issuer(state: MemoryState) -> Issuer:
    """Trusted, with the agent `copilot` that may act for ana."""
    issuer = Issuer()
    state.publish(ISSUERS, "acme", ISSUER, issuer.record)
    copilot = AgentRecord(tenant="acme", name="copilot", may_act_for=("ana",))
    state.publish(AGENTS, "acme", "copilot", copilot)
    return issuer


async def code(tokens: Tokens, bearer: str, audience: str | None = None) -> str:
    with pytest.raises(Refused) as refused:
        await tokens.verify(bearer, audience)
    return refused.value.code


def revoke(state: MemoryState, kind: str, name: str, seconds: float = 1) -> None:
    moment = NOON + timedelta(seconds=seconds)
    record = RevocationRecord(tenant="acme", kind=kind, name=name, not_before=moment)
    state.publish(REVOCATIONS, "acme", f"{kind}:{name}", record)


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
async def test_an_agent_s_own_token_names_the_agent(
    state: MemoryState, tokens: Tokens, issuer: Issuer, alg: str
) -> None:
    other = Issuer(alg=alg)
    state.publish(ISSUERS, "acme", ISSUER, other.record)
    assert await tokens.verify(other.token(roles=["reader"], groups=["sales"])) == Caller(
        principal=Principal(tenant="acme", kind=PrincipalKind.AGENT, name="copilot"),
        token_scopes=("crm:read", "crm:write"),
        roles=("agent", "reader"),
        groups=("sales",),
        token_id="token-1",
        issued_at=NOON,
        expires_at=NOON + timedelta(minutes=10),
        how="token",
        issuer=ISSUER,
    )


@pytest.mark.parametrize(
    ("claims", "label"),
    [
        ({"sub": "ana"}, "agent:copilot for ana"),
        ({"client_id": None, "azp": "copilot", "sub": "ana"}, "agent:copilot for ana"),
        ({"client_id": "web", "sub": "ana"}, "person:ana"),
        ({"client_id": "web", "sub": "ana", "act": {"sub": "copilot"}}, "agent:copilot for ana"),
        (
            {"sub": "8d1f", "preferred_username": "service-account-copilot"},
            "agent:copilot",
        ),
        ({"sub": None}, "agent:copilot"),
    ],
)
async def test_who_acts_for_whom_follows_from_client_actor_and_subject(
    tokens: Tokens, issuer: Issuer, claims: dict[str, Any], label: str
) -> None:
    assert (await tokens.verify(issuer.token(**claims))).principal.label == label


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"sub": "bob"}, "not_delegated"),
        ({"client_id": "web", "sub": "ana", "act": {"sub": "rogue"}}, "unknown_agent"),
        ({"client_id": "rogue", "sub": "rogue"}, "unknown_agent"),
        ({"sub": "ana", "act": {}}, "invalid_token"),
        ({"sub": None, "act": {"sub": "copilot"}}, "invalid_token"),
        ({"client_id": None, "sub": None}, "invalid_token"),
        ({"client_id": "web", "sub": "x" * 256}, "invalid_token"),
        ({"aud": "https://elsewhere.example"}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"aud": f"{OURS[0]}/servers/crm/mcp"}, "wrong_audience"),
        ({"iss": f"{ISSUER}/"}, "invalid_token"),
        ({"iss": None}, "invalid_token"),
        ({"exp": None}, "invalid_token"),
        ({"exp": "soon"}, "invalid_token"),
        ({"exp": 1e300}, "invalid_token"),
        ({"exp": (NOON - timedelta(seconds=31)).timestamp()}, "expired_token"),
        ({"nbf": (NOON + timedelta(seconds=31)).timestamp()}, "invalid_token"),
        ({"iat": (NOON + timedelta(seconds=31)).timestamp()}, "invalid_token"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    tokens: Tokens, issuer: Issuer, claims: dict[str, Any], why: str
) -> None:
    assert await code(tokens, issuer.token(**claims)) == why


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_a_clock_may_be_half_a_minute_off(tokens: Tokens, issuer: Issuer, name: str) -> None:
    off = timedelta(seconds=-29 if name == "exp" else 29)
    await tokens.verify(issuer.token(**{name: (NOON + off).timestamp()}))


@pytest.mark.parametrize(
    "audience", [OURS[1], ["https://elsewhere.example", OURS[0]]], ids=["mcp", "one of two"]
)
async def test_a_token_for_any_of_our_names_is_ours(
    tokens: Tokens, issuer: Issuer, audience: object
) -> None:
    await tokens.verify(issuer.token(aud=audience))


async def test_a_token_for_one_door_opens_that_door_alone(tokens: Tokens, issuer: Issuer) -> None:
    door = f"{OURS[0]}/servers/crm/mcp"
    token = issuer.token(aud=door)
    await tokens.verify(token, door)
    assert await code(tokens, token, f"{OURS[0]}/servers/erp/mcp") == "wrong_audience"
    assert await code(tokens, token) == "wrong_audience"


async def test_the_name_that_an_issuer_has_for_us_counts(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    named = Issuer(audiences=("interlock",))
    state.publish(ISSUERS, "acme", ISSUER, named.record)
    await tokens.verify(named.token(aud="interlock"))


async def test_roles_may_be_nested(state: MemoryState, tokens: Tokens, issuer: Issuer) -> None:
    keycloak = Issuer(roles_claim="realm_access.roles", user_claim="preferred_username")
    state.publish(ISSUERS, "acme", ISSUER, keycloak.record)
    claims = {"client_id": "web", "sub": "8d1f", "preferred_username": "ana"}
    caller = await tokens.verify(keycloak.token(**claims, realm_access={"roles": ["approver"]}))
    assert (caller.principal.label, caller.roles) == ("person:ana", ("approver",))


async def test_a_tenant_is_the_issuer_s_own_whatever_the_token_says(
    tokens: Tokens, issuer: Issuer
) -> None:
    caller = await tokens.verify(issuer.token(tenant="other"))
    assert caller.principal.tenant == "acme"


async def test_the_embedded_issuer_says_the_tenant_itself(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    own = Issuer(url=f"{OURS[0]}/auth", tenant="*")
    state.publish(ISSUERS, "*", own.url, own.record)
    assert (await tokens.verify(own.token(tenant="acme"))).principal.tenant == "acme"
    assert await code(tokens, own.token(tenant="other")) == "unknown_agent"
    assert await code(tokens, own.token()) == "invalid_token"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "interlock-identity+jwt"},
        {"typ": "dpop+jwt"},
        {"kid": "k2"},
        {"kid": 7},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_header_is_refused(
    tokens: Tokens, issuer: Issuer, header: dict[str, Any]
) -> None:
    token = _unchecked(issuer, {"alg": "ES256", "kid": "k1"} | header)
    assert await code(tokens, token) == "invalid_token"


async def test_an_identity_statement_is_no_token(tokens: Tokens, issuer: Issuer) -> None:
    statement = sign_identity(SIGNERS["gateway"], Identity.of(task()))
    assert await code(tokens, statement) == "invalid_token"


@pytest.mark.parametrize("alg", ["none", "HS256"])
async def test_a_token_that_nobody_signed_is_refused(
    tokens: Tokens, issuer: Issuer, alg: str
) -> None:
    _, claims, signature = issuer.token().split(".")
    header = _encoded(f'{{"alg":"{alg}","kid":"k1"}}'.encode())
    for end in ("", signature):
        assert await code(tokens, f"{header}.{claims}.{end}") == "invalid_token"


async def test_a_token_of_another_key_under_the_same_kid_is_refused(
    tokens: Tokens, issuer: Issuer
) -> None:
    assert await code(tokens, Issuer().token()) == "invalid_token"


@pytest.mark.parametrize("bearer", ["", "x", "a.b.c", "ilk_", "ilk_k7", "ilk_k7_", "é", "\ud800"])
async def test_garbage_is_refused(tokens: Tokens, issuer: Issuer, bearer: str) -> None:
    assert await code(tokens, bearer) == "invalid_token"


async def test_an_expired_token_is_refused_also_when_it_was_believed_before(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    token = issuer.token()
    await tokens.verify(token)
    clock.time += timedelta(minutes=10, seconds=30)
    assert await code(tokens, token) == "expired_token"


async def test_a_key_that_the_issuer_took_back_proves_nothing_more(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    token = issuer.token()
    await tokens.verify(token)
    state.publish(ISSUERS, "acme", ISSUER, Issuer().record)
    await reader.load()
    assert await code(tokens, token) == "invalid_token"


async def test_a_new_key_is_believed_although_the_view_is_behind(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    await tokens.verify(issuer.token())
    rotated = Issuer()
    rotated.key = new_key(kid="k2")
    state.publish(ISSUERS, "acme", ISSUER, rotated.record)
    await tokens.verify(rotated.token({"kid": "k2"}))


@pytest.mark.parametrize(
    "what",
    [("token", "token-1"), ("agent", "copilot"), ("user", "ana"), ("issuer", ISSUER)],
)
async def test_a_revocation_is_seen_at_once_and_spares_what_is_newer(
    state: MemoryState,
    tokens: Tokens,
    issuer: Issuer,
    reader: MemoryStateReader,
    what: tuple[str, str],
) -> None:
    token = issuer.token(sub="ana")
    await tokens.verify(token)
    revoke(state, *what)
    await reader.load()
    assert await code(tokens, token) == "revoked"
    newer = (NOON + timedelta(seconds=1)).timestamp()
    await tokens.verify(issuer.token(sub="ana", iat=newer, jti="token-2"))


async def test_a_revocation_is_seen_by_a_second_door_that_follows_the_state(
    state: MemoryState, issuer: Issuer, clock: Clock
) -> None:
    reader = MemoryStateReader(state, KINDS)
    await reader.load()
    second = Tokens(reader, audiences=OURS, now=clock)
    token = issuer.token()
    await second.verify(token)
    following = asyncio.create_task(reader.run())
    revoke(state, "agent", "copilot")
    async with asyncio.timeout(1):
        while reader.view(REVOCATIONS).get("acme", "agent:copilot") is None:  # noqa: ASYNC110 - a view has no event
            await asyncio.sleep(0)
    assert await code(second, token) == "revoked"
    following.cancel()


async def test_a_disabled_agent_has_no_valid_token(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    token, (key, record) = issuer.token(), api_key()
    state.publish(API_KEYS, "acme", record.key_id, record)
    await tokens.verify(token)
    await tokens.verify(key)
    disabled = AgentRecord(tenant="acme", name="copilot", enabled=False)
    state.publish(AGENTS, "acme", "copilot", disabled)
    await reader.load()
    assert await code(tokens, token) == "disabled_agent"
    assert await code(tokens, key) == "disabled_agent"


async def test_an_api_key_names_its_principal(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    key, record = api_key()
    state.publish(API_KEYS, "acme", record.key_id, record)
    caller = await tokens.verify(key, "https://any.example")
    assert (caller.principal, caller.token_scopes) == (record.principal, ("crm:read",))
    assert (caller.how, caller.token_id, caller.roles) == ("key", "k7", ("agent",))


async def test_an_api_key_with_another_secret_is_refused(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    key, record = api_key()
    state.publish(API_KEYS, "acme", record.key_id, record)
    for wrong in (key[:-1], f"{key}x", key.replace("k7", "k8"), f"ilk_k7_{record.secret_digest}"):
        assert await code(tokens, wrong) == "invalid_token"


async def test_an_api_key_ends_when_it_expires_is_removed_or_revoked(
    state: MemoryState,
    tokens: Tokens,
    issuer: Issuer,
    reader: MemoryStateReader,
    clock: Clock,
) -> None:
    key, record = api_key(expires_at=NOON + timedelta(days=1))
    state.publish(API_KEYS, "acme", record.key_id, record)
    await tokens.verify(key)
    clock.time += timedelta(days=1, seconds=30)
    assert await code(tokens, key) == "expired_token"
    clock.time = NOON
    revoke(state, "key", record.key_id)
    await reader.load()
    assert await code(tokens, key) == "revoked"
    state.publish(API_KEYS, "acme", record.key_id, None)
    await reader.load()
    assert await code(tokens, key) == "invalid_token"


async def test_a_key_is_found_that_was_published_just_now(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    key, record = api_key()
    await code(tokens, key)
    state.publish(API_KEYS, "acme", record.key_id, record)
    await tokens.verify(key)


async def test_no_is_never_said_on_state_that_cannot_be_read(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    await tokens.verify(issuer.token())
    state.away = True
    await tokens.verify(issuer.token())
    with pytest.raises(Unavailable):
        await tokens.verify(api_key()[0])


async def test_nothing_is_said_on_stale_state(state: MemoryState, clock: Clock) -> None:
    stale = Tokens(MemoryStateReader(state, KINDS), audiences=OURS, now=clock)
    with pytest.raises(Unavailable, match="stale"):
        await stale.verify("whatever")


def _encoded(text: bytes) -> str:
    return urlsafe_b64encode(text).rstrip(b"=").decode()


def _unchecked(issuer: Issuer, header: dict[str, Any]) -> str:
    """A well-signed token under any header."""
    head = _encoded(json.dumps(header).encode())
    claims = issuer.token().split(".")[1]
    algorithm = jose.TOKENS.get_alg("ES256")
    return f"{head}.{claims}.{_encoded(algorithm.sign(f'{head}.{claims}'.encode(), issuer.key))}"


async def test_a_credential_that_never_ends_is_believed(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    bearer, record = api_key(expires_at=never)
    state.publish(API_KEYS, "acme", "k7", record)
    assert (await tokens.verify(bearer)).expires_at == never
    assert (await tokens.verify(issuer.token(exp=never.timestamp()))).expires_at == never


async def test_a_revoked_token_is_refused_though_its_issuer_s_clock_is_ahead(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    ahead = issuer.token(iat=(NOON + timedelta(seconds=20)).timestamp())
    await tokens.verify(ahead)
    revoke(state, "token", "token-1")
    await reader.load()
    assert await code(tokens, ahead) == "revoked"
