"""A ledger that lies here, read without the service that wrote it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from interlock.errors import Refused
from interlock.identity.keys import load_trust
from interlock.identity.statements import Trust
from interlock.ledger import (
    SIGNER,
    Entry,
    Fault,
    Finding,
    FolderAnchor,
    Head,
    Origin,
    Record,
    Report,
    Verifier,
    verify_export,
)

DATABASE = "audit.db"
RECORDS = """
SELECT shard, seq, previous, hash, event_id, tenant, subject, arrived_at, kept, fault, reason
FROM records ORDER BY shard, seq
"""


def verify_file(export: Path, keys: Path, anchor: Path | None) -> Report:
    """An export; `Refused` where it, a key or the anchor is not there."""
    return verify_export(export, _trust(keys), _anchor(anchor))


def verify_database(data: Path, keys: Path, anchor: Path | None) -> Report:
    """The ledger of a data folder, as committed at this moment, whether the suite runs or not."""
    trust, kept = _trust(keys), _anchor(anchor)
    with _opened(data / DATABASE) as database:
        origin = Origin(*database.execute("SELECT id, shards FROM ledger").fetchone())
        # What the anchor holds was committed before: it is read first.
        statements = [] if kept is None else list(kept.statements(origin))
        database.execute("BEGIN")
        heads = [Head(*row) for row in database.execute("SELECT shard, seq, hash FROM heads")]
        now = datetime.now(UTC)  # noqa: TID251 the edge of this process
        with closing(Verifier(origin, trust, now)) as verifier:
            if kept is not None:
                verifier.anchored(statements)
            for (statement,) in database.execute("SELECT statement FROM checkpoints"):
                verifier.checkpoint(statement)
            _feed(verifier, database, heads)
            return verifier.report()


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
            yield database
    except (sqlite3.Error, TypeError) as error:
        raise Refused(f"`{path}` is no ledger that this version can read: {error}") from None


def _trust(keys: Path) -> Trust:
    trust = load_trust(keys)
    if not any(service == SIGNER for service, _ in trust.keys):
        raise Refused(
            f"there is no `{SIGNER}.pub.json` in `{keys}`, the key that proves checkpoints: name "
            "its folder with `--keys`"
        )
    return trust


def _anchor(folder: Path | None) -> FolderAnchor | None:
    if folder is not None and not folder.is_dir():
        raise Refused(f"there is no anchor at `{folder}`: it is a folder of checkpoints")
    return None if folder is None else FolderAnchor(folder)
