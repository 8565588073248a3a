"""How fast this machine is at the moment, so that figures of two days can be compared.

A machine that others share may be twice as slow as it was yesterday; what a call costs then says
less than what it costs in units of the same work done in the same minute.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROUNDS = 7
LOOPS, TIMES = 200_000, 200


def yardstick() -> dict[str, float]:
    """CPU of this process, best of several rounds: ms of a loop in plain Python, and µs of one
    Ed25519 signature, its verification, and one row committed in SQLite."""
    key = Ed25519PrivateKey.generate()
    with tempfile.TemporaryDirectory() as folder:
        rows = sqlite3.connect(Path(folder) / "rows.db", isolation_level=None)
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=NORMAL")
        rows.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")

        def signed_and_kept() -> None:
            for _ in range(TIMES):
                said = key.sign(b"x" * 500)
                key.public_key().verify(said, b"x" * 500)
                rows.execute("INSERT INTO rows (body) VALUES (?)", (said,))

        each = {
            "python_loop_ms": round(_best(_loop) * 1e3, 2),
            "signed_and_kept_us": round(_best(signed_and_kept) / TIMES * 1e6, 1),
        }
        rows.close()
    return each


def _loop() -> None:
    found: dict[int, str] = {}
    for n in range(LOOPS):
        found[n & 1023] = str(n)


def _best(work: Callable[[], None]) -> float:
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)
