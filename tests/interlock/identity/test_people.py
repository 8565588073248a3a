"""Whom a good token of an issuer lets in, and as whom."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interlock.contracts.access import Admits, AgentRecord, UserRecord
from interlock.contracts.task import Principal, PrincipalKind
from interlock.errors import Refused
from interlock.identity import people
from interlock.identity.people import identity_digest, provisioning
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS, ISSUERS, USERS
from interlock.state.memory import MemoryState, MemoryStateReader
from tests.interlock.identity.build import ISSUER, Issuer, api_key

WEB: dict[str, Any] = {"client_id": "web", "sub": "8d1f", "roles": ["auditor"]}


def trust(state: MemoryState, admits: Admits = Admits.NAMED) -> Issuer:
    issuer = Issuer(admits=admits)
    state.publish(ISSUERS, "acme", ISSUER, issuer.record)
    return issuer


def user(state: MemoryState, *subjects: str, name: str = "ana", **changes: Any) -> None:
    identities = tuple(identity_digest(ISSUER, subject) for subject in subjects)
    record = UserRecord(tenant="acme", name=name, identities=identities, **changes)
    state.publish(USERS, "acme", name, record)


async def refusal(tokens: Tokens, token: str) -> Refused:
    with pytest.raises(Refused) as error:
        await tokens.verify(token)
    return error.value


@pytest.mark.parametrize("admits", Admits)
async def test_a_linked_person_is_the_user_with_the_roles_of_both(
    state: MemoryState, tokens: Tokens, admits: Admits
) -> None:
    issuer = trust(state, admits)
    user(state, "8d1f", roles=("approver",))
    caller = await tokens.verify(issuer.token(**WEB))
    assert caller.principal.label == "person:ana"
    assert caller.roles == ("approver", "auditor")


async def test_a_disabled_user_is_out_whatever_an_issuer_says(
    state: MemoryState, tokens: Tokens, reader: MemoryStateReader
) -> None:
    issuer = trust(state)
    user(state, "8d1f")
    caller = await tokens.verify(issuer.token(**WEB))
    user(state, "8d1f", enabled=False)
    await reader.load()
    assert not tokens.stands(caller)
    assert (await refusal(tokens, issuer.token(**WEB))).code == "disabled_user"
    assert (await refusal(tokens, issuer.token(**WEB, jti="new"))).code == "disabled_user"


async def test_an_agent_acts_for_a_linked_user_under_the_user_s_name_here(
    state: MemoryState, tokens: Tokens, reader: MemoryStateReader
) -> None:
    issuer = trust(state)
    copilot = AgentRecord(tenant="acme", name="copilot", may_act_for=("ana",))
    state.publish(AGENTS, "acme", "copilot", copilot)
    user(state, "8d1f", roles=("approver",))
    caller = await tokens.verify(issuer.token(sub="8d1f"))
    assert (caller.principal.label, caller.roles) == ("agent:copilot for ana", ("agent",))
    user(state, "8d1f", enabled=False)
    await reader.load()
    assert (await refusal(tokens, issuer.token(sub="8d1f"))).code == "disabled_user"


async def test_what_a_link_let_in_ends_with_it(
    state: MemoryState, tokens: Tokens, reader: MemoryStateReader
) -> None:
    issuer = trust(state)
    user(state, "8d1f")
    caller = await tokens.verify(issuer.token(**WEB))
    user(state)
    await reader.load()
    assert not tokens.stands(caller)


@pytest.mark.parametrize("admits", Admits)
async def test_nobody_becomes_a_registered_user_by_being_called_so(
    state: MemoryState, tokens: Tokens, admits: Admits
) -> None:
    issuer = trust(state, admits)
    user(state, roles=("admin",))
    error = await refusal(tokens, issuer.token(**WEB | {"sub": "ana"}))
    assert (error.code, "interlock user link" in error.detail) == ("unknown_user", True)


async def test_an_identity_is_of_one_issuer(state: MemoryState, tokens: Tokens) -> None:
    trust(state)
    user(state, "8d1f")
    other = Issuer("https://id.example/other")
    state.publish(ISSUERS, "acme", other.url, other.record)
    assert (await tokens.verify(other.token(**WEB))).principal.label == "person:8d1f"


async def test_an_unknown_person_is_let_in_by_name_or_not_at_all(
    state: MemoryState, tokens: Tokens, reader: MemoryStateReader
) -> None:
    issuer = trust(state)
    assert (await tokens.verify(issuer.token(**WEB))).principal.label == "person:8d1f"
    trust_again = Issuer(admits=Admits.REGISTERED)
    trust_again.key = issuer.key
    state.publish(ISSUERS, "acme", ISSUER, trust_again.record)
    await reader.load()
    assert (await refusal(tokens, issuer.token(**WEB))).code == "unknown_user"


async def auth(state: MemoryState, reader: MemoryStateReader, told: list[Sequence[str]]) -> None:
    """What auth does with a hint."""
    async for tenant, hint in reader.wanted(USERS):
        told.append((tenant, *provisioning(hint)))
        user(state, provisioning(hint)[1], name=provisioning(hint)[1])
        await reader.load()


async def test_a_newcomer_is_registered_and_let_in_with_the_first_token(
    state: MemoryState, tokens: Tokens, reader: MemoryStateReader
) -> None:
    issuer = trust(state, Admits.PROVISIONED)
    told: list[Sequence[str]] = []
    owner = asyncio.create_task(auth(state, reader, told))
    await asyncio.sleep(0)
    caller = await tokens.verify(issuer.token(**WEB))
    assert (caller.principal.label, caller.roles) == ("person:8d1f", ("auditor",))
    assert told == [("acme", ISSUER, "8d1f")]
    elsewhere = issuer.token(**WEB | {"sub": "other", "aud": "https://elsewhere.example"})
    assert (await refusal(tokens, elsewhere)).code == "wrong_audience"
    unfit = await refusal(tokens, issuer.token(**WEB | {"sub": "a b"}))
    assert (unfit.code, "can be no user's name" in unfit.detail) == ("unknown_user", True)
    assert len(told) == 1, "nobody is registered by a token for somebody else"
    owner.cancel()


async def test_a_newcomer_whom_nobody_registers_is_not_let_in(
    state: MemoryState, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = trust(state, Admits.PROVISIONED)
    monkeypatch.setattr(people, "PATIENCE", 0.1)
    assert (await refusal(tokens, issuer.token(**WEB))).code == "unknown_user"


async def test_a_user_s_key_has_what_it_names_while_the_user_has_it(
    state: MemoryState, tokens: Tokens, reader: MemoryStateReader
) -> None:
    who = Principal(tenant="acme", kind=PrincipalKind.PERSON, name="ana")
    text, record = api_key(principal=who, roles=("auditor", "owner"))
    state.publish(API_KEYS, "acme", record.key_id, record)
    await reader.load()
    assert (await tokens.verify(text)).roles == ("auditor", "owner")
    user(state, roles=("owner", "approver"))
    await reader.load()
    assert (await tokens.verify(text)).roles == ("owner",)
