"""Ports that stay free until their server starts, and while it is down."""

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

LOWEST = 20_000
WORKERS = 8
"""Of one run of tests, with whoever starts them: each has ports of its own."""
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def ports_of(worker: int) -> list[int]:
    """Those that a worker of a run gives out, each of them before any comes again.

    None is of the range from which the system gives ports to connections and to whoever asks for
    any (Linux): such a one may be somebody's when its server is started.
    """
    first = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    return [*range(min(LOWEST, first - 1000) + worker % WORKERS, first, WORKERS)]


def _mine() -> Iterator[int]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", f"gw{WORKERS - 1}")
    ports = ports_of(int(worker.removeprefix("gw")))
    random.SystemRandom().shuffle(ports)
    return cycle(ports)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_MINE = _mine()


def lasting_port() -> int:
    """A port of loopback that nobody listens on, and that nobody else is given."""
    return next(filter(_free, _MINE))
