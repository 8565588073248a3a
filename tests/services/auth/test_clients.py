"""Discovery of issuers, against a real HTTP server on loopback."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from interlock.errors import Refused
from interlock.identity.outgoing import is_public
from interlock.identity.submissions import AgentKey
from interlock.identity.tokens import key_set
from services.auth.clients import HttpDiscovery
from tests.services.auth.rig import public, signer

JWK = public(AgentKey("default", signer("x")))


class Site:
    """An issuer that answers whatever a test wants."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        answer = self.answers.get(request.path)
        if answer is None:
            raise web.HTTPNotFound
        if isinstance(answer, web.HTTPException):
            raise answer
        return web.Response(text=answer, content_type="application/json")

    def is_issuer(self, **changes: str) -> None:
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | changes
        text = ",".join(f'"{name}":"{value}"' for name, value in document.items())
        self.answers["/.well-known/openid-configuration"] = f"{{{text}}}"
        self.answers["/keys"] = f'{{"keys":[{JWK}]}}'


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    site.is_issuer()
    yield site
    await runner.cleanup()


async def refusal(discovery: HttpDiscovery, issuer: str) -> str:
    with pytest.raises(Refused) as refused:
        await discovery.jwks(issuer)
    assert refused.value.code == "unreachable"
    assert f"`{issuer}`" in refused.value.detail
    return refused.value.detail


async def test_an_issuer_s_keys_are_found_by_its_url(site: Site) -> None:
    assert len(key_set(await HttpDiscovery(private=True).jwks(site.url))) == 1
    assert site.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_an_issuer_that_does_not_answer_is_named(site: Site) -> None:
    discovery = HttpDiscovery(private=True)
    assert "status `404`" in await refusal(discovery, f"{site.url}/elsewhere")
    await refusal(discovery, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://other.example"}, "calls itself `https://other.example`"),
        ({"jwks_uri": "file:///etc/passwd"}, "no plain"),
        ({"jwks_uri": "http://user:secret@127.0.0.1/"}, "no plain"),
    ],
)
async def test_a_document_of_somebody_else_is_refused(
    site: Site, changes: dict[str, str], why: str
) -> None:
    site.is_issuer(**changes)
    assert why in await refusal(HttpDiscovery(private=True), site.url)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("no JSON", "line 1 column 1"),
        ("[]", "no JSON object"),
        ('{"keys":[]}', "no key that can be used"),
        ('{"keys":5}', "no key that can be used"),
        ('{"keys":[5]}', "no key that can be used"),
        (f'{{"keys":[{json.dumps(JWK)}]}}', "no key that can be used"),
        ('{"keys":[{"kty":"oct","k":"AAAA"}]}', "no key that can be used"),
        (f'{{"x":"{"x" * 600_000}"}}', "more than `524288` bytes"),
    ],
    ids=["text", "list", "empty", "number", "numbers", "texts", "symmetric", "huge"],
)
async def test_keys_that_cannot_be_used_are_refused(site: Site, keys: str, why: str) -> None:
    site.answers["/keys"] = keys
    assert why in await refusal(HttpDiscovery(private=True), site.url)


async def test_a_redirect_is_not_followed(site: Site) -> None:
    site.answers["/keys"] = web.HTTPFound(f"{site.url}/inside")
    assert "status `302`" in await refusal(HttpDiscovery(private=True), site.url)
    assert "/inside" not in site.asked


async def test_nothing_private_is_called_where_issuers_are_public(site: Site) -> None:
    discovery = HttpDiscovery(private=False)
    assert "no plain https URL" in await refusal(discovery, site.url)
    # the last one is 127.0.0.1 to whoever normalises it (UTS #46)
    for host in (
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "①②⑦.⓪.⓪.①",
    ):
        assert "no public address" in await refusal(discovery, f"https://{host}:9")
    await refusal(discovery, "https://localhost:9")
    assert site.asked == []


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("8.8.8.8", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("2606:4700:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
        ("fec0::1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_which_addresses_are_public(host: str, public: bool) -> None:
    assert is_public(host) is public
