"""What auth fetches: documents and keys of issuers that tenants trust, and of clients."""

import errno
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import orjson

from interlock.errors import Refused
from interlock.identity.tokens import key_set

LARGEST = 512 * 1024
"""Bytes of a document."""
FAILED = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Discovery(Protocol):
    """Looks an issuer up."""

    async def jwks(self, issuer: str) -> str:
        """Its public keys (RFC 7517) as JSON text; `Refused` (`unreachable`) naming the issuer."""

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

    async def client(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        if url not in self.documents:
            raise Refused(f"client `{url}` does not answer", code="unreachable")
        return self.documents[url]

    async def client_keys(self, document: Mapping[str, Any]) -> str:
        return orjson.dumps(document["jwks"]).decode()


class HttpDiscovery:
    """OpenID Connect Discovery 1.0 §4 over HTTPS.

    Whoever names an issuer makes us call it. So without `private` only `https` and public addresses
    are called, redirects are not followed, and answers are bounded in size and time.
    """

    def __init__(
        self, *, private: bool, seconds: float = 5.0, at: Mapping[str, str] | None = None
    ) -> None:
        """`at`: where an issuer is reached if not at its own URL."""
        self._private = private
        self._at = at or {}
        self._timeout = aiohttp.ClientTimeout(total=seconds)

    async def jwks(self, issuer: str) -> str:
        try:
            async with self._session() as session:
                place = self._at.get(issuer, issuer).rstrip("/")
                url = f"{place}/.well-known/openid-configuration"
                document = await self._get(session, url)
                if document.get("issuer") != issuer:
                    raise _unreachable(issuer, f"it calls itself `{document.get('issuer')}`")
                keys = orjson.dumps(
                    await self._get(session, str(document.get("jwks_uri")))
                ).decode()
        except FAILED as error:
            raise _unreachable(issuer, str(error) or type(error).__name__) from None
        if not key_set(keys):
            raise _unreachable(issuer, "it publishes no key that can be used")
        return keys

    async def client(self, url: str) -> Mapping[str, Any]:
        try:
            async with self._session() as session:
                return await self._get(session, url)
        except FAILED as error:
            why = str(error) or type(error).__name__
            raise Refused(f"client `{url}` cannot be read: {why}", code="unreachable") from None

    async def client_keys(self, document: Mapping[str, Any]) -> str:
        keys = document.get("jwks") or await self.client(str(document.get("jwks_uri")))
        return orjson.dumps(keys if isinstance(keys, dict) else {}).decode()

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=None if self._private else _public_socket,
        )
        return aiohttp.ClientSession(connector=connector, timeout=self._timeout)

    async def _get(self, session: aiohttp.ClientSession, url: str) -> Mapping[str, Any]:
        self._require_allowed(url)
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"`{url}` answers with status `{answer.status}`")
            content = await answer.content.read(LARGEST + 1)
            while len(content) <= LARGEST and (more := await answer.content.read(LARGEST)):
                content += more
        if len(content) > LARGEST:
            raise ValueError(f"`{url}` answers with more than `{LARGEST}` bytes")
        return _object(url, content)

    def _require_allowed(self, url: str) -> None:
        parts = urlsplit(url)
        schemes = ("https", "http") if self._private else ("https",)
        if parts.scheme not in schemes or not parts.hostname or parts.username:
            raise ValueError(f"`{url}` is no plain {' or '.join(schemes)} URL")


def _object(url: str, content: bytes) -> Mapping[str, Any]:
    document = orjson.loads(content)
    if isinstance(document, dict):
        return document
    raise ValueError(f"`{url}` answers with no JSON object")


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for one address as it is dialled, whatever way a URL had of writing it."""
    family, kind, protocol, _, (host, *_) = info
    if not is_public(host):
        raise PermissionError(errno.EACCES, f"`{host}` is no public address")
    return socket.socket(family, kind, protocol)


def is_public(host: str) -> bool:
    """Whether an IP address is public; one that carries an IPv4 address is as that one is."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour or address.teredo or address.is_site_local:
            return False
        carried = IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else None
        address = carried or address.ipv4_mapped or address
    return address.is_global and not address.is_multicast and not address.is_reserved


def _unreachable(issuer: str, why: str) -> Refused:
    return Refused(
        f"issuer `{issuer}` cannot be used: {why}; correct its URL, or make it reachable from here",
        code="unreachable",
    )
