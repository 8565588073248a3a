"""A key that an issuer has only now is found without a restart, and asked for once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from interlock.contracts.access import AgentRecord
from interlock.errors import Refused
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, ISSUERS
from interlock.state.memory import MemoryState, MemoryStateReader
from tests.interlock.identity.build import ISSUER, OURS, Issuer, new_key
from tests.interlock.identity.conftest import KINDS, Clock


class Auth:
    """Hears hints, and publishes what the issuer has by then."""

    def __init__(self, state: MemoryState, issuer: Issuer) -> None:
        self.state = state
        self.issuer = issuer
        self.heard: list[tuple[str, str]] = []

    async def listen(self, reader: MemoryStateReader) -> None:
        async for hint in reader.wanted(ISSUERS):
            self.heard.append(hint)
            self.state.publish(ISSUERS, "acme", ISSUER, self.issuer.record)


@pytest.fixture
async def auth(state: MemoryState, reader: MemoryStateReader) -> AsyncIterator[Auth]:
    auth = Auth(state, Issuer())
    state.publish(ISSUERS, "acme", ISSUER, auth.issuer.record)
    state.publish(AGENTS, "acme", "copilot", AgentRecord(tenant="acme", name="copilot"))
    working = [asyncio.ensure_future(job) for job in (auth.listen(reader), reader.run())]
    yield auth
    for job in working:
        job.cancel()
    await asyncio.gather(*working, return_exceptions=True)


async def test_a_token_under_a_new_key_is_believed_and_one_under_the_old_no_more(
    tokens: Tokens, auth: Auth
) -> None:
    old = auth.issuer.token()
    await tokens.verify(old)
    auth.issuer.key = new_key(kid="k2")
    found = await asyncio.gather(
        *(tokens.verify(auth.issuer.token({"kid": "k2"}, jti=f"t{n}")) for n in range(5))
    )
    assert {one.principal.name for one in found} == {"copilot"}
    assert auth.heard == [("acme", ISSUER)]
    with pytest.raises(Refused, match="does not publish"):
        await tokens.verify(old)


async def test_strangers_keys_are_asked_for_once_and_keep_nobody_waiting_after_that(
    tokens: Tokens, auth: Auth
) -> None:
    strange = Issuer()
    strange.key = new_key(kid="k9")
    for number in range(20):
        with pytest.raises(Refused, match="does not publish"):
            await tokens.verify(strange.token({"kid": "k9"}, jti=f"t{number}"))
    assert len(auth.heard) == 1
    await tokens.verify(auth.issuer.token())


async def test_a_key_that_is_known_needs_nobody(
    state: MemoryState, clock: Clock, auth: Auth
) -> None:
    reader = Counting(state, KINDS)
    await reader.load()
    tokens = Tokens(reader, audiences=OURS, now=clock)
    reader.asked = 0
    for number in range(20):
        await tokens.verify(auth.issuer.token(jti=f"t{number}"))
    assert (reader.asked, auth.heard) == (0, [])


class Counting(MemoryStateReader):
    """Counts every look at the shared place."""

    asked = 0

    async def load(self) -> None:
        self.asked += 1
        await super().load()
