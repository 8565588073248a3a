"""Verification of a ledger where it lies: in the database of the service `audit`.

The service does it at its door; anybody who may read the database can do it without the service.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import get_type_hints

from sqlalchemy import Connection, RowMapping, inspect, text

from interlock.errors import Refused
from interlock.identity.statements import Trust
from interlock.ledger.checkpoint import Anchor, Head
from interlock.ledger.record import Entry, Origin, Record
from interlock.ledger.report import Fault, Finding, Report
from interlock.ledger.verify import Verifier
from interlock.storage.database import Database

PAGE = 1000
_CHAIN = text(
    "SELECT * FROM records WHERE shard = :shard AND seq > :after AND seq <= :last"
    f" ORDER BY seq LIMIT {PAGE}"
)
_TYPES = {"previous": bytes, "hash": bytes} | get_type_hints(Entry)
"""SQLite keeps any value in any column."""
Look = Callable[[RowMapping], str | None]
"""A second look at a row; says in a few words what is wrong with it, if anything is."""


def look_away(row: RowMapping) -> str | None:
    """For those who know nothing of the columns beside the chain."""
    return None


async def verify_database(
    database: Database, trust: Trust, anchor: Anchor | None, now: datetime, look: Look = look_away
) -> Report:
    """Verify the whole ledger. Raises `Refused` where the database has none."""
    origin = await database.read(_origin)
    outside = None
    if anchor is not None:
        outside = await asyncio.to_thread(lambda: list(anchor.statements(origin)))
    beside, heads = await database.read(_ends)  # after the anchor, so that it is not ahead of them
    with closing(Verifier(origin, trust, now)) as verifier:
        if outside is not None:
            await asyncio.to_thread(verifier.anchored, outside)
        await asyncio.to_thread(verifier.checkpoints, beside)
        for shard in range(origin.shards):
            await _verify_shard(database, verifier, heads.get(shard, Head(shard, 0, b"")), look)
        return await asyncio.to_thread(verifier.report)


async def _verify_shard(database: Database, verifier: Verifier, head: Head, look: Look) -> None:
    last = 0

    def page(connection: Connection) -> Sequence[RowMapping]:
        wanted = {"shard": head.shard, "after": last, "last": head.seq}
        return connection.execute(_CHAIN, wanted).mappings().all()

    while rows := await database.read(page):
        await asyncio.to_thread(_feed, verifier, rows, look)
        last = rows[-1]["seq"]
    if last != head.seq:
        said = f"shard {head.shard} ends at record {last}, and its head says {head.seq}"
        verifier.found(Finding(Fault.CUT, said, head.shard, last))


def _feed(verifier: Verifier, rows: Sequence[RowMapping], look: Look) -> None:
    for row in rows:
        if not all(isinstance(row[name], type_) for name, type_ in _TYPES.items()):
            said = f"record {row['seq']} of shard {row['shard']} holds values of foreign types"
            verifier.found(Finding(Fault.EDITED, said, row["shard"], row["seq"]))
            continue
        verifier.add(_record(row))
        if wrong := look(row):
            said = f"record {row['seq']} of shard {row['shard']} {wrong}"
            verifier.found(Finding(Fault.INDEX, said, row["shard"], row["seq"]))


def _origin(connection: Connection) -> Origin:
    found = None
    if inspect(connection).has_table("ledger"):
        found = connection.execute(text("SELECT id, shards FROM ledger")).first()
    if found is None:
        raise Refused("the database holds no ledger; name the one that service `audit` writes")
    return Origin(*found)


def _ends(connection: Connection) -> tuple[list[str], dict[int, Head]]:
    """The checkpoints beside the ledger, then its heads, which are as new or newer."""
    statements = connection.execute(text("SELECT statement FROM checkpoints")).scalars().all()
    heads = connection.execute(text("SELECT shard, seq, hash FROM heads")).all()
    return list(statements), {row[0]: Head(*row) for row in heads}


def _record(row: RowMapping) -> Record:
    entry = Entry(*(row[name] for name in Entry._fields))
    return Record(row["shard"], row["seq"], row["previous"], row["hash"], entry)
