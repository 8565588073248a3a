"""Ports that stay free while their server is down."""

import random
import socket
from pathlib import Path

LOWEST = 20_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def lasting_port() -> int:
    """A free port of loopback that the system gives to no outgoing connection (Linux).

    One from that range may be somebody's when its server is started again: even that of a client
    which tried to connect to it, and met itself.
    """
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(min(LOWEST, first - 1000), first)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
