"""Issuers that the operator's file names."""

from pathlib import Path

import pytest

from interlock.contracts.changes import IssuerTrusted
from interlock.errors import Refused
from interlock.state.port import ISSUERS
from services.auth.clients import HttpDiscovery
from services.auth.handlers.operators import Named
from services.auth.settings import NamedIssuer, read_issuers
from tests.services.auth.rig import Rig
from tests.services.auth.test_clients import Site, site

__all__ = ["site"]
URL = "https://id.example/realms/us"
KEYS = '{"keys":[]}'


def named(rig: Rig, **changes: str) -> Named:
    issuer = NamedIssuer.model_validate({"issuer": URL, "audiences": ["interlock"]} | changes)
    return Named(rig.store, rig.issuers, [issuer.record], rig.clock)


async def test_an_issuer_is_trusted_once_it_answers_and_only_once(rig: Rig) -> None:
    wanted = named(rig)
    assert not await wanted.ensure()
    rig.discovery.key_sets[URL] = KEYS
    assert await wanted.ensure()
    assert not await wanted.ensure()
    found = await rig.store.read(lambda records: records.get(ISSUERS, "default", URL))
    assert found is not None
    assert (found.audiences, found.jwks) == (("interlock",), KEYS)
    await rig.relay.flush()
    stated = [fact for fact in rig.facts() if isinstance(fact, IssuerTrusted)]
    assert [(fact.name, fact.by.name) for fact in stated] == [(URL, "auth")]


async def test_what_the_file_says_of_it_now_holds(rig: Rig) -> None:
    rig.discovery.key_sets[URL] = KEYS
    await named(rig).ensure()
    assert await named(rig, user_claim="preferred_username").ensure()
    found = await rig.store.read(lambda records: records.get(ISSUERS, "default", URL))
    assert found is not None
    assert found.user_claim == "preferred_username"


def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    assert read_issuers(None) == ()
    path = tmp_path / "issuers.json"
    with pytest.raises(Refused, match=r"cannot read the issuers in `.*`: no such file"):
        read_issuers(path)
    path.write_text('[{"issuer": "ftp://x"}]')
    with pytest.raises(Refused, match="`/0/issuer`: string should match"):
        read_issuers(path)
    path.write_text('[{"issuer": "https://x", "discovery": "http://keycloak:8080"}]')
    assert [one.discovery for one in read_issuers(path)] == ["http://keycloak:8080"]


async def test_an_issuer_behind_another_name_is_reached_there(site: Site) -> None:
    site.is_issuer(issuer=URL)
    discovery = HttpDiscovery(private=True, at={URL: site.url})
    assert "keys" in await discovery.jwks(URL)
    with pytest.raises(Refused, match="it calls itself"):
        await HttpDiscovery(private=True, at={f"{URL}/2": site.url}).jwks(f"{URL}/2")
