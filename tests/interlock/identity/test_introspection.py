"""Tokens about which their issuer is asked, against a real HTTP server on loopback."""

from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from interlock.contracts.access import AgentRecord, IntrospectionRecord
from interlock.errors import Refused, Unavailable
from interlock.identity.introspection import FRESH_SECONDS, Introspection
from interlock.identity.sealing import CLIENT_SECRETS, Seal
from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, ISSUERS
from interlock.state.memory import MemoryState, MemoryStateReader
from interlock.testing.build import KEYRING
from tests.interlock.identity.build import ISSUER, NOON, OURS, Issuer
from tests.interlock.identity.conftest import Clock

OPAQUE = "tGzv3JOkF0XG5Qx2TlKWIA"
CLAIMS: dict[str, Any] = {
    "active": True,
    "client_id": "copilot",
    "sub": "copilot",
    "aud": OURS[0],
    "scope": "crm:read",
    "iss": ISSUER,
    "exp": (NOON + timedelta(minutes=10)).timestamp(),
}


@dataclass
class Site:
    """An introspection endpoint."""

    url: str = ""
    status: int = 200
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    clients: set[str] = field(default_factory=set)

    async def serve(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form["token"]))
        self.clients.add(b64decode(request.headers["Authorization"].split()[1]).decode())
        answer = self.answers.get(str(form["token"]), {"active": False})
        return web.json_response(answer, status=self.status)


@dataclass
class Monotonic:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_post("/introspect", site.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/introspect"
    yield site
    await runner.cleanup()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def asking(reader: MemoryStateReader, clock: Clock, monotonic: Monotonic) -> Tokens:
    introspection = Introspection(KEYRING, monotonic)
    return Tokens(reader, audiences=OURS, now=clock, introspection=introspection)


def trust(state: MemoryState, endpoint: str, tenant: str = "default", **changes: Any) -> Issuer:
    sealed = Seal(KEYRING, CLIENT_SECRETS).close(b"s3cret:+")
    values: dict[str, Any] = {"client_id": "interlock us", "sealed_secret": sealed, "private": True}
    how = IntrospectionRecord(endpoint=endpoint, **values | changes)
    issuer = Issuer(tenant=tenant, introspection=how)
    state.publish(ISSUERS, tenant, ISSUER, issuer.record)
    state.publish(AGENTS, tenant, "copilot", AgentRecord(tenant=tenant, name="copilot"))
    return issuer


async def code(tokens: Tokens, token: str = OPAQUE) -> str:
    with pytest.raises(Refused) as error:
        await tokens.verify(token)
    return error.value.code


async def test_an_opaque_token_is_what_its_issuer_says(
    state: MemoryState, asking: Tokens, site: Site
) -> None:
    trust(state, site.url)
    site.answers[OPAQUE] = CLAIMS
    caller = await asking.verify(OPAQUE)
    assert (caller.principal.label, caller.token_scopes) == ("agent:copilot", ("crm:read",))
    assert caller.issuer == ISSUER
    assert site.clients == {"interlock+us:s3cret%3A%2B"}, "RFC 6749 §2.3.1"


async def test_an_answer_is_believed_for_a_moment_and_a_revocation_acts_after_it(
    state: MemoryState, asking: Tokens, site: Site, monotonic: Monotonic
) -> None:
    trust(state, site.url)
    site.answers[OPAQUE] = CLAIMS
    for _ in range(3):
        await asking.verify(OPAQUE)
    assert site.asked == [OPAQUE]
    site.answers.clear()
    monotonic.seconds += FRESH_SECONDS
    assert await code(asking) == await code(asking) == "invalid_token"
    assert len(site.asked) == 2, "a no is believed as long"


async def test_a_token_ends_with_its_time_however_fresh_the_answer_is(
    state: MemoryState, asking: Tokens, site: Site, clock: Clock
) -> None:
    trust(state, site.url)
    site.answers[OPAQUE] = CLAIMS
    await asking.verify(OPAQUE)
    clock.time += timedelta(minutes=11)
    assert await code(asking) == "expired_token"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "https://elsewhere.example"}, "wrong_audience"),
        ({"aud": None}, "wrong_audience"),
        ({"exp": None}, "invalid_token"),
        ({"iss": "https://other.example"}, "invalid_token"),
        ({"active": "true"}, "invalid_token"),
        ({"client_id": "rogue", "sub": "rogue"}, "unknown_agent"),
    ],
)
async def test_an_active_token_that_is_not_for_us_or_names_nobody_is_refused(
    state: MemoryState, asking: Tokens, site: Site, changes: dict[str, Any], why: str
) -> None:
    trust(state, site.url)
    told = CLAIMS | changes
    site.answers[OPAQUE] = {name: value for name, value in told.items() if value is not None}
    assert await code(asking) == why


async def test_an_issuer_that_does_not_answer_lets_nobody_in(
    state: MemoryState, asking: Tokens, site: Site
) -> None:
    trust(state, site.url)
    site.answers[OPAQUE] = CLAIMS
    site.status = 500
    with pytest.raises(Unavailable, match="status `500`"):
        await asking.verify(OPAQUE)
    site.status = 200
    assert (await asking.verify(OPAQUE)).principal.name == "copilot"


async def test_no_private_address_is_asked_unless_that_is_allowed(
    state: MemoryState, asking: Tokens, site: Site, reader: MemoryStateReader
) -> None:
    trust(state, site.url, private=False)
    with pytest.raises(Unavailable, match="no plain https URL"):
        await asking.verify(OPAQUE)
    trust(state, site.url.replace("http:", "https:"), private=False)
    await reader.load()
    with pytest.raises(Unavailable, match="no public address"):
        await asking.verify(OPAQUE)
    assert site.asked == []


async def test_no_other_tenant_s_issuer_is_shown_a_token_that_may_not_be_its_own(
    state: MemoryState, asking: Tokens, site: Site
) -> None:
    trust(state, site.url, tenant="acme")
    assert await code(asking) == "invalid_token"
    assert site.asked == []


async def test_a_jwt_is_asked_about_where_the_issuer_s_setting_says_every_token(
    state: MemoryState, asking: Tokens, site: Site, monotonic: Monotonic
) -> None:
    issuer = trust(state, site.url, tenant="acme", every=True)
    token = issuer.token()
    site.answers[token] = CLAIMS
    assert (await asking.verify(token)).principal.tenant == "acme"
    assert await code(asking, token[:-4] + "AAAA") == "invalid_token"
    assert site.asked == [token], "nobody is asked about what is not even signed"
    site.answers.clear()
    monotonic.seconds += FRESH_SECONDS
    assert await code(asking, token) == "revoked"


async def test_a_jwt_of_an_issuer_that_is_asked_about_opaque_ones_is_judged_here(
    state: MemoryState, asking: Tokens, site: Site
) -> None:
    issuer = trust(state, site.url)
    await asking.verify(issuer.token())
    assert site.asked == []
