"""Access ends with what it rests on, also for what goes on after a request was let in."""

import json
from datetime import timedelta

import pytest

from interlock.contracts.access import AgentRecord, ApiKeyRecord, RevocationRecord
from interlock.errors import Refused
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS, ISSUERS, REVOCATIONS
from interlock.state.memory import MemoryState, MemoryStateReader
from tests.interlock.identity.build import ISSUER, NOON, Issuer, api_key, new_key
from tests.interlock.identity.conftest import Clock

OTHER = "https://id.example/other"
KEY = new_key("EdDSA")
DOCUMENT = "https://copilot.example/client"


@pytest.fixture
def issuer(state: MemoryState) -> Issuer:
    """The embedded one: its tokens name their tenant."""
    issuer = Issuer(tenant="*")
    state.publish(ISSUERS, "*", ISSUER, issuer.record)
    agent(state)
    return issuer


def agent(state: MemoryState, *, keys: tuple[str, ...] = (), client_id: str | None = None) -> None:
    record = AgentRecord(tenant="acme", name="copilot", public_keys=keys, client_id=client_id)
    state.publish(AGENTS, "acme", "copilot", record)


def key(state: MemoryState) -> ApiKeyRecord:
    _, record = api_key()
    state.publish(API_KEYS, "acme", record.key_id, record)
    return record


async def refused(tokens: Tokens, token: str) -> str:
    with pytest.raises(Refused) as error:
        await tokens.verify(token)
    return error.value.code


async def test_a_token_ends_with_the_api_key_that_it_was_got_with(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    record = key(state)
    token = issuer.token(tenant="acme", bound_to=[f"key:{record.key_id}"])
    caller = await tokens.verify(token)
    assert tokens.stands(caller)
    state.publish(API_KEYS, "acme", record.key_id, None)
    await reader.load()
    assert not tokens.stands(caller)
    assert await refused(tokens, token) == "revoked"


async def test_a_token_ends_when_the_key_that_it_was_got_with_is_revoked(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    record = key(state)
    token = issuer.token(tenant="acme", bound_to=[f"key:{record.key_id}"])
    await tokens.verify(token)
    before = RevocationRecord(
        tenant="acme", kind="key", name=record.key_id, not_before=NOON - timedelta(days=1)
    )
    state.publish(REVOCATIONS, "acme", f"key:{record.key_id}", before)
    await reader.load()
    assert await refused(tokens, token) == "revoked"


async def test_a_token_ends_with_the_agent_s_own_key_or_document(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    jwk = json.dumps(KEY.as_dict(private=False))
    agent(state, keys=(jwk,), client_id=DOCUMENT)
    for bound_to in (f"jwk:{KEY.thumbprint()}", f"client:{DOCUMENT}"):
        await tokens.verify(issuer.token(tenant="acme", bound_to=[bound_to], jti=bound_to))
    agent(state)
    await reader.load()
    for bound_to in (f"jwk:{KEY.thumbprint()}", f"client:{DOCUMENT}"):
        token = issuer.token(tenant="acme", bound_to=[bound_to], jti=bound_to)
        assert await refused(tokens, token) == "revoked"


async def test_a_token_ends_with_the_trust_in_the_issuer_of_its_assertion(
    state: MemoryState, tokens: Tokens, issuer: Issuer, reader: MemoryStateReader
) -> None:
    state.publish(ISSUERS, "acme", OTHER, Issuer(OTHER).record)
    token = issuer.token(tenant="acme", bound_to=[f"issuer:{OTHER}"])
    await tokens.verify(token)
    state.publish(ISSUERS, "acme", OTHER, None)
    await reader.load()
    assert await refused(tokens, token) == "revoked"


async def test_what_a_token_may_rest_on_is_nothing_that_we_do_not_know(
    tokens: Tokens, issuer: Issuer
) -> None:
    assert await refused(tokens, issuer.token(tenant="acme", bound_to=["stars:high"])) == "revoked"


async def test_no_other_issuer_says_what_its_tokens_rest_on(
    state: MemoryState, tokens: Tokens, issuer: Issuer
) -> None:
    other = Issuer(OTHER)
    state.publish(ISSUERS, "acme", OTHER, other.record)
    assert (await tokens.verify(other.token(bound_to=["key:nope"]))).bound_to == ()


async def test_access_stands_until_it_is_revoked_or_its_time_is_over(
    state: MemoryState,
    tokens: Tokens,
    issuer: Issuer,
    reader: MemoryStateReader,
    clock: Clock,
) -> None:
    caller = await tokens.verify(issuer.token(tenant="acme"))
    clock.time += timedelta(minutes=11)
    assert not tokens.stands(caller)
    tokens.require_standing(caller)
    clock.time = NOON
    assert tokens.stands(caller)
    state.publish(ISSUERS, "*", ISSUER, None)
    await reader.load()
    assert not tokens.stands(caller)
    with pytest.raises(Refused, match="not trusted any more"):
        tokens.require_standing(caller)
