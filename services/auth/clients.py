"""What auth fetches: documents and keys of issuers that tenants trust, and of clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from interlock.errors import Refused
from interlock.identity.outgoing import Outgoing, Unanswered
from interlock.identity.tokens import key_set


class Discovery(Protocol):
    """Looks an issuer up."""

    async def jwks(self, issuer: str) -> str:
        """Its public keys (RFC 7517) as JSON text; `Refused` (`unreachable`) naming the issuer."""

    async def introspection(self, issuer: str) -> str:
        """Where it introspects (RFC 8414 §2); `Refused` (`unreachable`) naming the issuer."""

    async def client(self, url: str) -> Mapping[str, Any]:
        """The JSON object at `url`; `Refused` (`unreachable`)."""

    async def client_keys(self, document: Mapping[str, Any]) -> str:
        """The JWK Set that a client's document holds or names, as JSON text."""


@dataclass
class MemoryDiscovery:
    """A dict, for tests."""

    key_sets: dict[str, str] = field(default_factory=dict)
    documents: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def jwks(self, issuer: str) -> str:
        self.asked.append(issuer)
        if issuer not in self.key_sets:
            raise _unreachable(issuer, "it does not answer")
        return self.key_sets[issuer]

    async def introspection(self, issuer: str) -> str:
        return f"{issuer}/introspect"

    async def client(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        if url not in self.documents:
            raise Refused(f"client `{url}` does not answer", code="unreachable")
        return self.documents[url]

    async def client_keys(self, document: Mapping[str, Any]) -> str:
        return orjson.dumps(document["jwks"]).decode()


class HttpDiscovery:
    """OpenID Connect Discovery 1.0 §4, under the rules of `interlock.identity.outgoing`."""

    def __init__(
        self, *, private: bool, seconds: float = 5.0, at: Mapping[str, str] | None = None
    ) -> None:
        """`at`: where an issuer is reached if not at its own URL."""
        self._outgoing = Outgoing(private, seconds)
        self._at = at or {}

    async def jwks(self, issuer: str) -> str:
        try:
            document = await self._document(issuer)
            keys = orjson.dumps(await self._outgoing.get(str(document.get("jwks_uri")))).decode()
        except Unanswered as error:
            raise _unreachable(issuer, str(error)) from None
        if not key_set(keys):
            raise _unreachable(issuer, "it publishes no key that can be used")
        return keys

    async def introspection(self, issuer: str) -> str:
        try:
            found = (await self._document(issuer)).get("introspection_endpoint")
        except Unanswered as error:
            raise _unreachable(issuer, str(error)) from None
        if not isinstance(found, str):
            raise _unreachable(issuer, "it names no `introspection_endpoint`")
        return found

    async def client(self, url: str) -> Mapping[str, Any]:
        try:
            return await self._outgoing.get(url)
        except Unanswered as error:
            raise Refused(f"client `{url}` cannot be read: {error}", code="unreachable") from None

    async def client_keys(self, document: Mapping[str, Any]) -> str:
        keys = document.get("jwks") or await self.client(str(document.get("jwks_uri")))
        return orjson.dumps(keys if isinstance(keys, dict) else {}).decode()

    async def _document(self, issuer: str) -> Mapping[str, Any]:
        place = self._at.get(issuer, issuer).rstrip("/")
        document = await self._outgoing.get(f"{place}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise _unreachable(issuer, f"it calls itself `{document.get('issuer')}`")
        return document


def _unreachable(issuer: str, why: str) -> Refused:
    return Refused(
        f"issuer `{issuer}` cannot be used: {why}; correct its URL, or make it reachable from here",
        code="unreachable",
    )
