"""What is fetched from issuers and clients. People name them, so it must not reach into our net.

Without `private` only `https` and public addresses are called. Redirects are not followed, and
answers are bounded in size and time.
"""

import errno
import ipaddress
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

import orjson

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

LARGEST = 512 * 1024
"""Bytes of a document."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Unanswered(Exception):
    """No JSON object came back; says why."""


@dataclass(frozen=True)
class Outgoing:
    """Calls under these rules."""

    private: bool
    seconds: float = 5.0

    async def get(self, url: str) -> Mapping[str, Any]:
        """The JSON object at `url`; `Unanswered`."""
        async with self._session(url) as session, session.get(url, allow_redirects=False) as answer:
            return await _read(url, answer)

    async def post(
        self, url: str, form: Mapping[str, str], client_id: str, secret: str
    ) -> Mapping[str, Any]:
        """The JSON object that answers a form of ours, signed in as RFC 6749 §2.3.1 has it;
        `Unanswered`."""
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        headers = {
            "Authorization": f"Basic {b64encode(pair).decode()}",
            "Accept": "application/json",
        }
        async with (
            self._session(url) as session,
            session.post(url, data=form, headers=headers, allow_redirects=False) as answer,
        ):
            return await _read(url, answer)

    @asynccontextmanager
    async def _session(self, url: str) -> "AsyncIterator[ClientSession]":
        import aiohttp  # noqa: PLC0415 - 0.2 s that processes save which call nobody

        try:
            self._require_allowed(url)
            connector = aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),
                socket_factory=None if self.private else _public_socket,
            )
            timeout = aiohttp.ClientTimeout(total=self.seconds)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                yield session
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unanswered(str(error) or type(error).__name__) from None

    def _require_allowed(self, url: str) -> None:
        parts = urlsplit(url)
        schemes = ("https", "http") if self.private else ("https",)
        if parts.scheme not in schemes or not parts.hostname or parts.username:
            raise ValueError(f"`{url}` is no plain {' or '.join(schemes)} URL")


async def _read(url: str, answer: "ClientResponse") -> Mapping[str, Any]:
    if answer.status != 200:
        raise ValueError(f"`{url}` answers with status `{answer.status}`")
    content = await answer.content.read(LARGEST + 1)
    while len(content) <= LARGEST and (more := await answer.content.read(LARGEST)):
        content += more
    if len(content) > LARGEST:
        raise ValueError(f"`{url}` answers with more than `{LARGEST}` bytes")
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
