"""Upstreams that want OAuth: consent, tokens that end, refusals, and what is told to nobody."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from interlock.errors import Refused
from services.invocation.clients import (
    AddressGuard,
    FileSecrets,
    MemorySecrets,
    Reach,
    Secrets,
    UpstreamError,
)
from services.invocation.clients.dial import open_pool
from services.invocation.clients.oauth import (
    Asked,
    Driver,
    Grant,
    Keeper,
    Method,
    Registration,
    Revoked,
)
from services.invocation.clients.oauth.kept import name_of
from services.invocation.model import Challenge
from tests.services.invocation.clients.authorizing import (
    CALLBACK,
    SECRET,
    Office,
    Replica,
    office,
    replica,
    to_office,
)

PERSON = Asked(redirect_uri=CALLBACK)


@pytest.fixture(params=["memory", "file"])
def secrets(request: pytest.FixtureRequest, tmp_path: Path) -> Secrets:
    return MemorySecrets() if request.param == "memory" else FileSecrets(tmp_path / "secrets")


@pytest.fixture
async def place() -> AsyncIterator[Office]:
    async with office() as place:
        yield place


@pytest.fixture
async def one(secrets: Secrets) -> AsyncIterator[Replica]:
    async with replica(secrets) as one:
        yield one


def as_itself(issuer: str, method: Method = Method.BASIC) -> Asked:
    client = Registration(client_id="me", issuer=issuer, method=method, client_secret=SECRET)
    return Asked(Grant.CLIENT_CREDENTIALS, registration=client)


async def test_without_a_login_the_error_says_how_to_log_in(place: Office, one: Replica) -> None:
    with pytest.raises(Refused, match=r"interlock server login crm") as caught:
        await one.call(place)
    assert caught.value.code == "no_credential"
    assert place.served == []


async def test_after_a_persons_consent_calls_are_let_in(place: Office, one: Replica) -> None:
    await one.log_in(place)
    assert await one.call(place) == "done"
    assert place.asked == ["authorization_code"]


async def test_another_replica_uses_the_same_consent(
    place: Office, one: Replica, secrets: Secrets
) -> None:
    await one.log_in(place)
    async with replica(secrets) as other:
        assert await other.call(place) == "done"


async def test_a_token_that_was_taken_back_is_refreshed_and_the_call_made_once(
    place: Office, one: Replica
) -> None:
    await one.log_in(place)
    await one.call(place)
    place.revoke()
    assert await one.call(place) == "done"
    assert place.asked == ["authorization_code", "refresh_token"]
    assert place.served.count("tools/call") == 2


async def test_two_replicas_that_refresh_at_once_lose_no_refresh_token(
    place: Office, secrets: Secrets
) -> None:
    async with replica(secrets) as one, replica(secrets) as other:
        await one.log_in(place)
        await asyncio.gather(one.call(place), other.call(place))
        for _ in range(3):
            place.revoke()
            calls = [each.call(place) for each in (one, other) for _ in range(4)]
            assert await asyncio.gather(*calls) == ["done"] * 8
        assert place.asked == ["authorization_code", *["refresh_token"] * 3]


async def test_a_caller_that_goes_away_loses_no_refresh_token(place: Office, one: Replica) -> None:
    await one.log_in(place)
    place.revoke()
    place.waits.clear()
    place.reached.clear()
    going = asyncio.create_task(one.call(place))
    await place.reached.wait()
    going.cancel()
    await asyncio.wait([going])
    place.waits.set()
    assert await one.call(place) == "done"
    assert place.asked == ["authorization_code", "refresh_token"]


async def test_what_is_kept_and_cannot_be_read_is_as_good_as_nothing(
    place: Office, one: Replica, secrets: Secrets
) -> None:
    await secrets.write(name_of(to_office(place)), '{"tokens": "tell-tale"}')
    with pytest.raises(Refused, match="interlock server login"):
        await one.call(place)
    await one.log_in(place)
    assert await one.call(place) == "done"


async def test_a_key_that_cannot_sign_is_named_and_not_told(place: Office, one: Replica) -> None:
    client = Registration(
        client_id="me", issuer=place.origin, method=Method.KEY, private_key="tell-tale"
    )
    asked = Asked(Grant.CLIENT_CREDENTIALS, registration=client)
    with pytest.raises(Refused, match="private key cannot sign"):
        await one.logins.begin(to_office(place), asked, 0.0)


async def test_a_token_that_ends_soon_is_refreshed_before_the_call(
    place: Office, secrets: Secrets
) -> None:
    at = [0.0]
    async with replica(secrets, lambda: at[0]) as one:
        await one.log_in(place)
        at[0] = 3595.0
        assert await one.call(place) == "done"
    assert place.asked == ["authorization_code", "refresh_token"]


async def test_a_revoked_refresh_token_ends_with_the_way_to_a_new_consent(
    place: Office, one: Replica
) -> None:
    await one.log_in(place)
    place.revoke()
    place.refreshing.clear()
    for _ in range(2):
        with pytest.raises(Refused, match=r"interlock server login crm") as caught:
            await one.call(place)
        assert caught.value.code == "no_credential"
    assert place.asked.count("refresh_token") == 1, "what was refused is not tried again"
    await one.log_in(place)
    assert await one.call(place) == "done"


async def test_an_authorization_server_that_is_away_costs_no_consent(
    place: Office, one: Replica
) -> None:
    await one.log_in(place)
    place.revoke()
    place.broken = 1
    with pytest.raises(UpstreamError) as caught:
        await one.call(place)
    assert caught.value.reach is Reach.NOT_SENT, "the journal tries again"
    assert await one.call(place) == "done"


@pytest.mark.parametrize("method", [Method.BASIC, Method.POST])
async def test_client_credentials_need_nobody_and_are_renewed(
    place: Office, one: Replica, method: Method
) -> None:
    assert await one.logins.begin(to_office(place), as_itself(place.origin, method), 0.0) is None
    assert await one.call(place) == "done"
    place.revoke()
    assert await one.call(place) == "done"
    assert place.asked == ["client_credentials"] * 2


async def test_client_credentials_step_up_once_per_call(place: Office, one: Replica) -> None:
    await one.logins.begin(to_office(place), as_itself(place.origin), 0.0)
    place.needs = {"tools/call": "write"}
    assert await one.call(place) == "done"
    assert sorted(place.scopes[max(place.scopes)].split()) == ["basic", "write"]


async def test_a_scope_that_is_never_given_ends_the_call(place: Office, one: Replica) -> None:
    await one.logins.begin(to_office(place), as_itself(place.origin), 0.0)
    place.needs = {"tools/call": "two words"}
    with pytest.raises(Refused, match="refuses even a new token") as caught:
        await one.call(place)
    assert caught.value.code == "no_credential"
    assert place.asked == ["client_credentials"] * 2


async def test_a_scope_that_nobody_consented_to_is_asked_for_at_the_next_login(
    place: Office, one: Replica
) -> None:
    await one.log_in(place)
    place.needs = {"tools/call": "write"}
    with pytest.raises(Refused, match="`write`"):
        await one.call(place)
    await one.log_in(place)
    assert await one.call(place) == "done"
    assert sorted(place.scopes[max(place.scopes)].split()) == ["basic", "write"]


async def test_a_secret_goes_to_no_other_authorization_server(place: Office, one: Replica) -> None:
    with pytest.raises(Refused, match="issuer") as caught:
        await one.logins.begin(to_office(place), as_itself("https://auth.example"), 0.0)
    assert caught.value.code == "no_credential"
    assert place.asked == []


async def test_metadata_of_another_issuer_is_refused(secrets: Secrets) -> None:
    async with office(issuer="https://evil.example") as place, replica(secrets) as one:
        with pytest.raises(Refused, match="issuer mismatch"):
            await one.logins.begin(to_office(place), PERSON, 0.0)


async def test_a_server_without_pkce_is_refused(secrets: Secrets) -> None:
    told = {"code_challenge_methods_supported": ["plain"]}
    async with office(metadata=told) as place, replica(secrets) as one:
        with pytest.raises(Refused, match="PKCE"):
            await one.logins.begin(to_office(place), PERSON, 0.0)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"state": "another"}, "`state` differs"),
        ({"iss": "https://evil.example"}, "`iss` differs"),
    ],
)
async def test_a_consent_from_elsewhere_is_refused(
    place: Office, one: Replica, changed: dict[str, str], why: str
) -> None:
    url = await one.logins.begin(to_office(place), PERSON, 0.0)
    assert url is not None
    with pytest.raises(Refused, match=why):
        await one.logins.answer(to_office(place), place.consent(url, **changed), 1.0)
    assert place.asked == [], "its code was not exchanged"


async def test_a_consent_is_good_once_and_not_for_long(place: Office, one: Replica) -> None:
    url = await one.logins.begin(to_office(place), PERSON, 0.0)
    assert url is not None
    with pytest.raises(Refused, match="nobody waits"):
        await one.logins.answer(to_office(place), place.consent(url), 601.0)
    back = place.consent(url)
    await one.logins.answer(to_office(place), back, 1.0)
    with pytest.raises(Refused, match="nobody waits"):
        await one.logins.answer(to_office(place), back, 2.0)


async def test_a_person_who_refuses_is_told_as_such(place: Office, one: Replica) -> None:
    url = await one.logins.begin(to_office(place), PERSON, 0.0)
    assert url is not None
    refused = re.sub(r"code=[^&]*", "error=access_denied", place.consent(url))
    with pytest.raises(Refused, match="access_denied"):
        await one.logins.answer(to_office(place), refused, 1.0)


async def test_tokens_are_not_asked_for_over_plain_http(secrets: Secrets) -> None:
    async with office(token_at="http://auth.example/token") as place, replica(secrets) as one:
        url = await one.logins.begin(to_office(place), PERSON, 0.0)
        assert url is not None
        with pytest.raises(Refused, match="not `https`"):
            await one.logins.answer(to_office(place), place.consent(url), 1.0)


async def test_an_authorization_server_at_a_private_address_is_not_dialled(
    place: Office, one: Replica, secrets: Secrets
) -> None:
    await one.log_in(place)
    access = await one.logins.access(to_office(place))
    assert access is not None
    async with open_pool(AddressGuard()) as guarded:
        strict = Keeper(secrets, Driver(guarded), lambda: 0.0)
        with pytest.raises(Refused, match="may not be dialled") as caught:
            await strict.renewed(to_office(place), access.token, Challenge(401, ""))
    assert caught.value.code == "address_not_allowed"
    assert place.asked == ["authorization_code"]


async def test_an_upstream_that_lets_anybody_in_has_no_login(place: Office, one: Replica) -> None:
    place.scopes[""] = "basic"
    with pytest.raises(Refused, match="lets anybody in"):
        await one.logins.begin(to_office(place), PERSON, 0.0)
    assert await one.call(place) == "done"


async def test_after_a_logout_calls_are_not_let_in(place: Office, one: Replica) -> None:
    await one.log_in(place)
    await one.logins.end(to_office(place))
    with pytest.raises(Refused, match="interlock server login"):
        await one.call(place)


async def test_nothing_secret_is_logged_shown_or_raised(
    place: Office,
    one: Replica,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    caplog.set_level("DEBUG")
    await one.log_in(place)
    await one.call(place)
    url = await one.logins.begin(to_office(place), PERSON, 0.0)
    assert url is not None
    place.secrets.add(place.consent(url).partition("state=")[2].partition("&")[0])
    for changed in ({"state": "x"}, {"iss": "x"}):
        with pytest.raises(Refused) as caught:
            await one.logins.answer(to_office(place), place.consent(url, **changed), 1.0)
        said.append(repr(caught.value))
    await one.logins.begin(to_office(place), as_itself(place.origin), 0.0)
    said.append(repr(await one.logins.access(to_office(place))))
    place.revoke()
    place.needs = {"tools/call": "never ever"}
    with pytest.raises(Refused) as refused:
        await one.call(place)
    said += [repr(refused.value), caplog.text, *capsys.readouterr()]
    found = [secret for secret in {*place.secrets, SECRET} for text in said if secret in text]
    assert found == []


@pytest.mark.parametrize("answer", [b'{"access_token": 7, "leak": "tell-tale"}', b"tell-tale"])
async def test_what_an_authorization_server_answers_is_not_told(
    place: Office, one: Replica, answer: bytes
) -> None:
    url = await one.logins.begin(to_office(place), PERSON, 0.0)
    assert url is not None
    place.answer = answer
    with pytest.raises(Refused, match="no bearer token") as caught:
        await one.logins.answer(to_office(place), place.consent(url), 1.0)
    assert "tell-tale" not in caught.value.detail


def taking_back(place: Office) -> None:
    """From now on its metadata names where tokens are taken back."""
    place.metadata["revocation_endpoint"] = f"{place.origin}/revoke"


async def test_a_logout_takes_back_what_was_given_and_forgets_it(
    place: Office, one: Replica
) -> None:
    taking_back(place)
    await one.log_in(place)
    assert await one.logins.end(to_office(place)) == Revoked(True)
    (_, first), (_, second) = place.given_back
    assert [first["token_type_hint"], second["token_type_hint"]] == [
        "refresh_token",
        "access_token",
    ]
    assert first["client_id"] == "dynamic"
    assert (place.scopes, place.refreshing) == ({}, set())
    with pytest.raises(Refused, match="interlock server login"):
        await one.call(place)


@pytest.mark.parametrize("method", [Method.BASIC, Method.POST])
async def test_who_gives_back_proves_itself_as_where_it_was_given(
    place: Office, one: Replica, method: Method
) -> None:
    taking_back(place)
    await one.logins.begin(to_office(place), as_itself(place.origin, method), 0.0)
    assert (await one.logins.end(to_office(place))).done
    ((authorization, form),) = place.given_back
    assert authorization.startswith("Basic ") is (method is Method.BASIC)
    assert (form.get("client_secret") == SECRET) is (method is Method.POST)
    assert form["client_id"] == "me"


async def test_a_key_proves_it_too(place: Office, one: Replica) -> None:
    taking_back(place)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    client = Registration(
        client_id="me",
        issuer=place.origin,
        method=Method.KEY,
        private_key=pem,
        algorithm="ES256",
    )
    asked = Asked(Grant.CLIENT_CREDENTIALS, registration=client)
    await one.logins.begin(to_office(place), asked, 0.0)
    assert (await one.logins.end(to_office(place))).done
    ((_, form),) = place.given_back
    assert form["client_assertion_type"].endswith("jwt-bearer")
    assert form["client_assertion"].count(".") == 2


async def test_what_cannot_be_taken_back_is_forgotten_and_that_is_said(
    place: Office, one: Replica
) -> None:
    taking_back(place)
    place.takes_back = 503
    await one.log_in(place)
    told = await one.logins.end(to_office(place))
    assert not told.done
    assert "`503`" in told.why
    assert len(place.given_back) == 1
    with pytest.raises(Refused, match="interlock server login"):
        await one.call(place)
    assert not [one for one in place.secrets if one in told.why]


async def test_nothing_secret_is_sent_to_an_endpoint_that_is_not_safe(
    place: Office, one: Replica
) -> None:
    place.metadata["revocation_endpoint"] = "http://evil.example/revoke"
    await one.log_in(place)
    told = await one.logins.end(to_office(place))
    assert not told.done
    assert "evil.example" in told.why or "https" in told.why
