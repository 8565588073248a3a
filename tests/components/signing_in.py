"""A person signs in at an OpenID provider, as a browser and a native client would do it together.

Authorization code with PKCE (RFC 7636), redirected to a loopback address (RFC 8252 §7.3) that
nobody needs to serve: the code is read from the redirect. The login page is Keycloak's.
"""

import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx

REDIRECT = "http://127.0.0.1/callback"
FORM = re.compile(r'<form[^>]*\baction="([^"]+)"')


@dataclass(frozen=True)
class SignIn:
    """A client of `issuer`; confidential where it has a secret."""

    issuer: str
    client: str
    client_secret: str | None = field(default=None, repr=False)
    scope: str = "openid"

    def token(self, user: str, password: str) -> str:
        """The access token of `user`, who signed in at this client."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        asked = {
            "response_type": "code",
            "client_id": self.client,
            "redirect_uri": REDIRECT,
            "scope": self.scope,
            "state": state,
            "code_challenge_method": "S256",
            "code_challenge": _base64url(sha256(verifier.encode()).digest()),
        }
        base = f"{self.issuer}/protocol/openid-connect"
        with httpx.Client(timeout=30) as browser:
            page = browser.get(f"{base}/auth", params=asked)
            form = FORM.search(page.text)
            if form is None:
                raise RuntimeError(f"no login page at `{self.issuer}`: {page.status_code}")
            filled = {"username": user, "password": password}
            # Its cookies are `Secure`: a browser sends them to loopback all the same.
            cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
            answer = browser.post(unescape(form[1]), data=filled, headers={"Cookie": cookies})
            told = parse_qs(urlsplit(answer.headers.get("location", "")).query)
            if told.get("state") != [state] or "code" not in told:
                raise RuntimeError(f"`{user}` could not sign in at `{self.issuer}`")
        return token_of(self.issuer, self._exchange(told["code"][0], verifier))

    def _exchange(self, code: str, verifier: str) -> dict[str, str]:
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client,
            "redirect_uri": REDIRECT,
            "code": code,
            "code_verifier": verifier,
        }
        return form if self.client_secret is None else form | {"client_secret": self.client_secret}


def client_token(issuer: str, client: str, secret: str, scope: str = "") -> str:
    """An access token of a client itself (RFC 6749 §4.4)."""
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    return token_of(issuer, form | ({"scope": scope} if scope else {}))


def token_of(issuer: str, form: Mapping[str, str]) -> str:
    """What the token endpoint gives for `form`."""
    answer = httpx.post(f"{issuer}/protocol/openid-connect/token", data=dict(form), timeout=30)
    answer.raise_for_status()
    token: str = answer.json()["access_token"]
    return token


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
