"""Upstreams are named by people: what a name resolves to must not reach into our own network.

The address that is checked is the one that is dialled (the check makes the socket), so neither a
literal, a second DNS answer nor a redirect gets around it.
"""

import errno
import socket
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PRIVATE: tuple[Network, ...] = (
    *LOOPBACK,
    ip_network("10.0.0.0/8"),
    ip_network("172.16.0.0/12"),
    ip_network("192.168.0.0/16"),
    ip_network("100.64.0.0/10"),
    ip_network("fc00::/7"),
)
"""Loopback and private networks. Link-local is not among them."""
METADATA: tuple[Network, ...] = (
    ip_network("169.254.0.0/16"),  # AWS, Azure, Google
    ip_network("fd00:ec2::/32"),  # AWS
    ip_network("168.63.129.16/32"),  # Azure; a public address by its number
    ip_network("100.100.100.200/32"),  # Alibaba
)
"""Where clouds hand out credentials: refused whatever is allowed."""
_NAT64 = ip_network("64:ff9b::/96")


class AddressGuard:
    """Lets public addresses through, and those in `allowed`."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def allows(self, host: str) -> bool:
        """Whether the IP address may be dialled."""
        address = _meant(ip_address(host.partition("%")[0]))
        if _within(address, METADATA):
            return False
        return _within(address, self._allowed) or (
            address.is_global
            and not address.is_multicast
            and not address.is_reserved
            and not (isinstance(address, IPv6Address) and address.is_site_local)
        )

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for one resolved address; `PermissionError` if it may not be dialled."""
        family, kind, protocol, _, (host, *_) = info
        if not self.allows(host):
            raise PermissionError(errno.EACCES, f"the address `{host}` may not be dialled")
        return socket.socket(family, kind, protocol)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address carries, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
