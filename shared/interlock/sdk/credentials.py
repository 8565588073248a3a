"""How an agent proves itself to the gateway."""

import time
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from interlock.errors import Refused

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
    """OAuth 2.1 client credentials at the embedded issuer, or at `token_url`."""

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str | None = None
    scope: str = ""
    _token: str = field(default="", init=False, repr=False)
    _until: float = field(default=0.0, init=False)

    async def token(self, session: aiohttp.ClientSession, url: str) -> str:
        if time.monotonic() >= self._until:
            await self._fetch(session, url)
        return self._token

    async def _fetch(self, session: aiohttp.ClientSession, url: str) -> None:
        form = {"grant_type": "client_credentials", "resource": url}
        if self.scope:
            form["scope"] = self.scope
        async with session.post(
            self.token_url or f"{url}/auth/token",
            data=form,
            auth=aiohttp.BasicAuth(self.client_id, self.client_secret),
        ) as answer:
            told = await answer.json(content_type=None)
            if answer.status != 200:
                raise Refused(
                    f"the issuer gave client `{self.client_id}` no token: "
                    f"{told.get('error_description') or told.get('error')}",
                    code="invalid_client",
                )
        self._token = told["access_token"]
        self._until = time.monotonic() + float(told.get("expires_in", 60)) - EARLY
