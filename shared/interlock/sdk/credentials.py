"""How an agent proves itself to the gateway."""

import time
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote_plus

import aiohttp

from interlock.errors import Refused, Unavailable

EARLY = 30.0
"""Seconds before its end at which a token is replaced."""


class Credential(Protocol):
    """Something that gives a bearer token."""

    async def token(self, session: aiohttp.ClientSession, url: str) -> str:
        """A token that is valid now, for the suite at `url`."""


@dataclass(frozen=True)
class ApiKey:
    """A key from `interlock key create`."""

    key: str = field(repr=False)

    async def token(self, session: aiohttp.ClientSession, url: str) -> str:
        return self.key


@dataclass
class ClientCredentials:
    """OAuth 2.1 client credentials at the embedded issuer, or at `token_url`.

    For the embedded issuer `client_id` is the agent's name, and its API key the secret.
    """

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str | None = None
    scope: str = ""
    resource: str | None = None
    """For whom the token is (RFC 8707), where the issuer does not know."""
    _token: str = field(default="", init=False, repr=False)
    _until: float = field(default=0.0, init=False)

    async def token(self, session: aiohttp.ClientSession, url: str) -> str:
        if time.monotonic() >= self._until:
            await self._fetch(session, url)
        return self._token

    async def _fetch(self, session: aiohttp.ClientSession, url: str) -> None:
        asked = {"scope": self.scope, "resource": self.resource}
        given = {name: value for name, value in asked.items() if value}
        form = {"grant_type": "client_credentials", **given}
        # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
        who = aiohttp.encode_basic_auth(quote_plus(self.client_id), quote_plus(self.client_secret))
        endpoint = self.token_url or f"{url}/auth/token"
        async with session.post(endpoint, data=form, headers={"Authorization": who}) as answer:
            if answer.status >= 500:
                raise Unavailable(f"the issuer at `{endpoint}` answered `{answer.status}`")
            told = await answer.json(content_type=None)
            if answer.status != 200:
                raise Refused(
                    f"the issuer gave client `{self.client_id}` no token: "
                    f"{told.get('error_description') or told.get('error')}",
                    code="invalid_client",
                )
        self._token = told["access_token"]
        self._until = time.monotonic() + float(told.get("expires_in", 60)) - EARLY
