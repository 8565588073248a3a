"""The ledger of an embedded suite, as it lies in its data folder: read without the service."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from interlock.errors import Refused
from interlock.identity.keys import load_trust
from interlock.identity.statements import Trust
from interlock.ledger.checkpoint import SIGNER, Anchor, Head
from interlock.ledger.record import Entry, Origin, Record
from interlock.ledger.report import Fault, Finding, Report
from interlock.ledger.verify import Verifier

DATABASE, KEYS, ANCHOR = "audit.db", "keys", "anchor"
"""Where an embedded suite has its ledger, its keys and its anchor, below its data folder."""
RECORDS = """
SELECT CAST(shard AS INTEGER), CAST(seq AS INTEGER), CAST(previous AS BLOB), CAST(hash AS BLOB),
 CAST(event_id AS TEXT), CAST(tenant AS TEXT), CAST(subject AS TEXT), CAST(arrived_at AS INTEGER),
 CAST(kept AS BLOB), CAST(fault AS TEXT), CAST(reason AS TEXT)
FROM records ORDER BY shard, seq
"""
"""Cast, because SQLite keeps whatever somebody put there."""


def verify_folder(data: Path, trust: Trust, anchor: Anchor | None, now: datetime) -> Report:
    """The ledger of a data folder, as committed at this moment, whether the suite runs or not.

    Raises `Refused` where there is none.
    """
    with _opened(data / DATABASE) as database:
        origin = Origin(*database.execute("SELECT id, shards FROM ledger").fetchone())
        # What the anchor holds was committed before: it is read first.
        statements = [] if anchor is None else list(anchor.statements(origin))
        database.execute("BEGIN")
        heads = [Head(*row) for row in database.execute("SELECT shard, seq, hash FROM heads")]
        with closing(Verifier(origin, trust, now)) as verifier:
            if anchor is not None:
                verifier.anchored(statements)
            for (statement,) in database.execute("SELECT statement FROM checkpoints"):
                verifier.checkpoint(statement)
            _feed(verifier, database, heads)
            return verifier.report()


def ledger_trust(keys: Path) -> Trust:
    """The public keys in a folder; `Refused` unless the one that proves checkpoints is there."""
    trust = load_trust(keys)
    if not any(service == SIGNER for service, _ in trust.keys):
        raise Refused(
            f"there is no `{SIGNER}.pub.json` in `{keys}`, the key that proves checkpoints: name "
            "its folder with `--keys`"
        )
    return trust


def _feed(verifier: Verifier, database: sqlite3.Connection, heads: list[Head]) -> None:
    last = dict.fromkeys((head.shard for head in heads), 0)
    for shard, seq, previous, hash_, *fields in database.execute(RECORDS):
        verifier.add(Record(shard, seq, previous, hash_, Entry(*fields)))
        last[shard] = seq
    for head in heads:
        if last[head.shard] != head.seq:
            text = f"shard {head.shard} ends at record {last[head.shard]}, its head says {head.seq}"
            verifier.found(Finding(Fault.CUT, text, head.shard, last[head.shard]))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise Refused(
            f"there is no ledger at `{path}`: name an export, or the data folder with `--data` "
            "(a ledger in PostgreSQL is verified by an export)"
        )
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            database.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield database
    except (sqlite3.Error, TypeError) as error:
        raise Refused(f"`{path}` is no ledger that this version can read: {error}") from None
