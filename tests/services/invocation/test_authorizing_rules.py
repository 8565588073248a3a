"""The rules of being let in: whom a secret may be shown, and what a refusal asks."""

import pytest

from services.invocation.decide import authorizing
from services.invocation.model import Challenge

UPSTREAM = "http://crm.internal:8000/mcp"


@pytest.mark.parametrize(
    ("url", "secret", "fits"),
    [
        ("https://auth.example/token", True, True),
        ("http://127.0.0.1:9/token", True, True),
        ("http://[::1]:9/token", True, True),
        ("http://localhost/token", True, True),
        ("http://localhost.evil.example/token", True, False),
        ("http://auth.example/token", True, False),
        ("http://auth.example/.well-known/x", False, False),
        ("http://crm.internal:8000/.well-known/x", False, True),
        ("http://crm.internal:8000/token", True, False),
        ("http://crm.internal/.well-known/x", False, False),
        ("https://me:secret@auth.example/token", True, False),
        ("file:///etc/passwd", False, False),
        ("javascript:alert(1)", True, False),
    ],
)
def test_only_tls_keeps_a_secret(url: str, secret: bool, fits: bool) -> None:
    assert (authorizing.unfit_url(url, UPSTREAM, secret=secret) is None) is fits


def test_what_is_wrong_with_a_url_is_told_without_what_is_secret_in_it() -> None:
    why = authorizing.unfit_url("http://me:pw@auth.example/token?code=1#x", UPSTREAM, secret=True)
    assert why == "`http://auth.example/token` is no plain URL"


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("http://127.0.0.1:8765/callback", True),
        ("http://localhost:1/", True),
        ("https://evil.example/callback", False),
        ("http://192.168.0.7/callback", False),
        ("", False),
    ],
)
def test_a_person_is_sent_back_to_their_own_machine_only(url: str, fits: bool) -> None:
    assert (authorizing.unfit_redirect(url) is None) is fits


def test_a_refusal_asks_for_a_token_or_for_more_scopes() -> None:
    told = 'Bearer error="insufficient_scope", scope="a b", resource_metadata="https://x/y"'
    assert authorizing.challenge(401, None) == Challenge(401, "")
    assert authorizing.challenge(403, told) == Challenge(403, told)
    assert authorizing.challenge(403, 'Bearer error="access_denied"') is None
    assert authorizing.challenge(404, told) is None
    assert authorizing.challenge(None, None) is None
    assert authorizing.field(told, "scope") == "a b"
    assert authorizing.field(told, "metadata") is None


def test_an_authorization_servers_reason_is_shown_if_it_is_one() -> None:
    assert authorizing.error_code({"error": "invalid_grant"}) == "invalid_grant"
    for error in ("a sentence, with a token", "x" * 65, 7, None):
        assert authorizing.error_code({"error": error}) == "no reason"
    assert authorizing.error_code([]) == "no reason"


def test_a_token_is_replaced_shortly_before_its_end() -> None:
    assert not authorizing.ends_soon(None, 0)
    assert not authorizing.ends_soon(100, 89)
    assert authorizing.ends_soon(100, 90)
