"""The database's owner changes the ledger: each change is found, there and on an export."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, literal_column, select, update

from interlock.errors import Refused
from interlock.identity.statements import Trust
from interlock.ledger import Entry, FolderAnchor, Report, link, verify_export
from interlock.ledger.database import verify_database
from interlock.storage import Database
from interlock.testing import build
from services.audit.handlers import Audit
from services.audit.store import CHECKPOINTS, ENTRY, HEADS, RECORDS, SqlLedger
from tests.components.fixtures import EMPTY
from tests.interlock.ledger.ledgers import key
from tests.services.audit.messages import Clock, calls

R = RECORDS.c
Attack = Callable[[Connection], None]
VICTIM = (R.shard == 1) & (R.seq == 3)


@pytest.fixture
async def signed(audit: Audit, clock: Clock) -> Audit:
    """Eight calls, signed half-way and at the end."""
    for first in (0, 4):
        await audit.keep(calls(4, first))
        await audit.checkpoint()
        clock.pass_(minutes=1)
    heads = await audit.ledger.heads()
    assert all(head.seq >= 4 for head in heads), heads
    return audit


def chain(connection: Connection, shard: int) -> list[dict[str, Any]]:
    found = connection.execute(select(RECORDS).where(R.shard == shard).order_by(R.seq))
    return [dict(row._mapping) for row in found]


def edit(connection: Connection) -> None:
    kept = connection.execute(select(R.kept).where(VICTIM)).scalar_one()
    connection.execute(update(RECORDS).where(VICTIM).values(kept=kept.replace(b"crm", b"erp")))


def edit_index(connection: Connection) -> None:
    connection.execute(update(RECORDS).where(VICTIM).values(agent="somebody-else"))


def remove(connection: Connection) -> None:
    connection.execute(delete(RECORDS).where(VICTIM))


def swap(connection: Connection) -> None:
    """Two neighbours change places, the rest stays."""
    one, other = chain(connection, 1)[1:3]
    connection.execute(delete(RECORDS).where(R.shard == 1, R.seq.in_([2, 3])))
    connection.execute(insert(RECORDS), [one | {"seq": 3}, other | {"seq": 2}])


def cut(connection: Connection) -> None:
    """The last record goes, and the head moves back: a chain without a flaw."""
    head = connection.execute(select(HEADS.c.seq).where(HEADS.c.shard == 1)).scalar_one()
    connection.execute(delete(RECORDS).where(R.shard == 1, R.seq == head))
    last = chain(connection, 1)[-1]
    values = {"seq": last["seq"], "hash": last["hash"]}
    connection.execute(update(HEADS).where(HEADS.c.shard == 1).values(values))


def cut_with_checkpoints(connection: Connection) -> None:
    """Also what is beside the ledger goes."""
    cut(connection)
    connection.execute(delete(CHECKPOINTS))


def rewrite(connection: Connection) -> None:
    """One record is edited and the chain behind it made anew: a chain without a flaw."""
    rows = chain(connection, 1)
    rows[1]["kept"] = rows[1]["kept"].replace(b"crm", b"erp")
    rechain(connection, rows)


def rechain(connection: Connection, rows: list[dict[str, Any]]) -> None:
    previous = rows[0]["previous"]
    for seq, row in enumerate(rows, 1):
        entry = Entry(**{name: row[name] for name in ENTRY})
        row |= {"seq": seq, "previous": previous, "hash": link(previous, 1, seq, entry)}
        previous = row["hash"]
    connection.execute(delete(RECORDS).where(R.shard == 1))
    connection.execute(insert(RECORDS), rows)
    values = {"seq": len(rows), "hash": previous}
    connection.execute(update(HEADS).where(HEADS.c.shard == 1).values(values))


def renumber(connection: Connection) -> None:
    """One record is gone and the chain behind it made anew."""
    rows = chain(connection, 1)
    del rows[1]
    rechain(connection, rows)


def forge_checkpoint(connection: Connection) -> None:
    (statement,) = connection.execute(select(CHECKPOINTS.c.statement).limit(1)).scalars()
    head, claims, signature = statement.split(".")
    forged = ".".join([head, claims, signature[::-1]])
    row = {"digest": "forged", "time": 0, "statement": forged}
    connection.execute(insert(CHECKPOINTS), row)


async def exported(audit: Audit, path: Path) -> Path:
    with path.open("wb") as file:
        async with aclosing(audit.export(["acme"])) as pieces:
            async for piece in pieces:
                file.write(piece)
    return path


On = Callable[[Audit, Path], Awaitable[Report]]


async def on_the_database(audit: Audit, folder: Path) -> Report:
    return await audit.verify()


async def on_an_export_with_the_anchor(audit: Audit, folder: Path) -> Report:
    assert isinstance(audit.anchor, FolderAnchor)
    return verify_export(await exported(audit, folder / "e.gz"), audit.trust, audit.anchor)


async def on_an_export_alone(audit: Audit, folder: Path) -> Report:
    return verify_export(await exported(audit, folder / "e.gz"), audit.trust)


EVERYWHERE = pytest.mark.parametrize(
    "on", [on_the_database, on_an_export_with_the_anchor, on_an_export_alone]
)


@EVERYWHERE
async def test_a_ledger_that_nobody_touched_holds(signed: Audit, tmp_path: Path, on: On) -> None:
    report = await on(signed, tmp_path)
    assert report.ok, report.text()
    assert (report.records, report.ended_tasks) == (32, 8)


@EVERYWHERE
@pytest.mark.parametrize(
    "attack",
    [
        (edit, "edited"),
        (remove, "missing"),
        (swap, "edited"),
        (cut, "cut"),
        (rewrite, "rewritten"),
        (renumber, "rewritten"),
    ],
)
async def test_each_attack_is_found(
    signed: Audit, database: Database, tmp_path: Path, attack: tuple[Attack, str], on: On
) -> None:
    do, fault = attack
    await database.run(do)
    report = await on(signed, tmp_path)
    assert fault in report.counts, report.text()
    assert any(one.shard == 1 for one in report.findings)


@pytest.mark.parametrize("on", [on_the_database, on_an_export_with_the_anchor])
async def test_a_tail_cut_with_its_checkpoints_by_a_patient_owner_is_found_by_the_anchor(
    signed: Audit, clock: Clock, database: Database, tmp_path: Path, on: On
) -> None:
    """He waits for the service to start anew, so that it does not remember what it signed."""
    await database.run(cut_with_checkpoints)
    ledger = SqlLedger(database)
    await ledger.open("other", 3)
    again = Audit(ledger, signed.anchor, signed.signer, signed.trust, clock.now)
    report = await on(again, tmp_path)
    assert "cut" in report.counts, report.text()
    await again.keep(calls(8, first=20))
    await again.checkpoint()
    report = await on(again, tmp_path)
    assert {"rewritten", "checkpoint"} & set(report.counts), report.text()


async def test_a_column_that_was_changed_is_found_on_the_database(
    signed: Audit, database: Database
) -> None:
    await database.run(edit_index)
    report = await signed.verify()
    assert report.counts == {"index": 1}
    assert "is found by a wrong `agent`" in report.text()


async def test_a_value_of_another_type_is_found(signed: Audit, database: Database) -> None:
    change = update(RECORDS).where(VICTIM).values(kept=literal_column("'no bytes'"))
    await database.run(lambda connection: connection.execute(change).close())
    assert "edited" in (await signed.verify()).counts


async def test_anybody_who_may_read_the_database_can_verify_it(
    signed: Audit, database: Database
) -> None:
    report = await verify_database(database, signed.trust, None, signed.now())
    assert report.ok
    assert not report.anchored
    await database.run(rewrite)
    report = await verify_database(database, signed.trust, signed.anchor, signed.now())
    assert "rewritten" in report.counts


@EMPTY
async def test_a_database_without_a_ledger_is_refused(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with pytest.raises(Refused, match="holds no ledger"):
        await verify_database(database, Trust({}), None, build.NOON)
    await database.close()


async def test_a_ledger_without_its_heads_is_found(signed: Audit, database: Database) -> None:
    await database.run(lambda connection: connection.execute(delete(HEADS)).close())
    assert (await signed.verify()).counts["cut"] == 3


async def test_a_tail_after_the_last_checkpoint_is_held_by_its_head(
    signed: Audit, database: Database
) -> None:
    await signed.keep(calls(3, first=20))
    (head,) = [one for one in await signed.ledger.heads() if one.shard == 1]
    last = (R.shard == 1) & (R.seq == head.seq)
    await database.run(lambda connection: connection.execute(delete(RECORDS).where(last)).close())
    assert "cut" in (await signed.verify()).counts


@EVERYWHERE
async def test_a_forged_checkpoint_is_found(
    signed: Audit, database: Database, tmp_path: Path, on: On
) -> None:
    await database.run(forge_checkpoint)
    assert (await on(signed, tmp_path)).counts == {"checkpoint": 1}


async def test_a_checkpoint_forged_in_the_anchor_is_found(signed: Audit) -> None:
    stranger = Audit(signed.ledger, signed.anchor, key(), signed.trust, signed.now)
    await stranger.checkpoint()
    assert (await signed.verify()).counts == {"checkpoint": 1}
