"""The ledger in SQLite and in PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from interlock.errors import Refused
from interlock.ledger import Origin, link
from interlock.storage import Database, migrate
from interlock.testing import build
from interlock.testing.migrations import assert_migrations_match
from services.audit import decide
from services.audit.model import Kept, Question
from services.audit.store import METADATA, SqlLedger
from tests.components.fixtures import EMPTY
from tests.services.audit.conftest import SHARDS
from tests.services.audit.messages import arrived, calls

ACME = Question(("acme",), limit=1000)


def kept(count: int, first: int = 0, minute: int = 0) -> list[Kept]:
    at = build.NOON.replace(minute=minute)
    return [decide.keeping(arrival, at) for arrival in calls(count, first)]


async def chains(ledger: SqlLedger) -> int:
    """Walk every chain to its head; how many records there are."""
    total = 0
    for head in await ledger.heads():
        hash_ = ledger.origin.genesis(head.shard)
        found = await ledger.chain(head, 0, 10_000)
        for seq, one in enumerate(found, 1):
            assert one.record.seq == seq
            assert one.record.previous == hash_
            hash_ = link(hash_, head.shard, seq, one.entry)
            assert one.record.hash == hash_
        assert (head.seq, head.hash) == (len(found), hash_)
        total += len(found)
    return total


@EMPTY
async def test_the_migrations_make_the_tables(database_url: str) -> None:
    await assert_migrations_match(database_url, "services.audit.migrations", METADATA)


async def test_what_is_appended_is_chained_and_read_back(ledger: SqlLedger) -> None:
    batch = kept(5)
    assert await ledger.append(batch) == 20
    assert await chains(ledger) == 20
    found = await ledger.answer(ACME)
    by_id = {one.entry.event_id: one for one in batch}
    assert {one.entry.event_id: Kept(one.entry, one.index) for one in found} == by_id


async def test_a_redelivered_batch_is_appended_once(ledger: SqlLedger) -> None:
    batch = kept(5)
    assert await ledger.append(batch[:7]) == 7
    assert await ledger.append([*batch, *batch]) == 13
    assert await ledger.append(batch) == 0
    assert await chains(ledger) == 20


async def test_many_may_append_at_once(database_url: str, database: Database) -> None:
    others = [Database(database_url, schema="audit") for _ in range(3)]
    try:
        ledgers = [SqlLedger(one) for one in others]
        await asyncio.gather(*(one.open(f"id-{n}", SHARDS) for n, one in enumerate(ledgers)))
        assert len({one.origin.ledger for one in ledgers}) == 1
        new = await asyncio.gather(
            *(
                ledger.append(kept(6, first))
                for first in range(0, 24, 2)  # neighbours share two thirds of their tasks
                for ledger in ledgers
            )
        )
        assert sum(new) == 28 * 4
        assert await chains(ledgers[0]) == 28 * 4
    finally:
        for one in others:
            await one.close()


async def test_an_append_that_fails_leaves_nothing(ledger: SqlLedger) -> None:
    batch = kept(3)
    one, *rest = batch
    homeless = next(
        other
        for n in range(100)
        if ledger.origin.shard_of("acme", (other := f"task-{n}"))
        != ledger.origin.shard_of("acme", one.entry.subject)
    )
    twice = Kept(one.entry._replace(subject=homeless), one.index)
    with pytest.raises(IntegrityError):
        await ledger.append([one, twice, *rest])
    assert await chains(ledger) == 0


async def test_the_number_of_shards_is_fixed_when_the_ledger_is_made(
    ledger: SqlLedger, database: Database
) -> None:
    with pytest.raises(Refused, match="`INTERLOCK_AUDIT_SHARDS` to `3` instead of `4`"):
        await SqlLedger(database).open("other", 4)
    again = SqlLedger(database)
    await again.open("other", SHARDS)
    assert again.origin == Origin("ledger-1", SHARDS)
    assert len(await again.heads()) == SHARDS


async def test_records_are_found_by_each_of_their_marks(ledger: SqlLedger) -> None:
    other = build.task("task-x", principal=build.principal("deal-desk"), server="erp", tool="pay")
    raws = [build.raw(build.authenticated(other)), build.raw(build.failed(other))]
    late = [decide.keeping(one, build.NOON.replace(minute=5)) for one in arrived(raws)]
    await ledger.append([*kept(2), *late])
    since = decide.micros(build.NOON.replace(minute=5))
    for question, count in [
        (ACME, 10),
        (replace(ACME, tenants=("other",)), 0),
        (replace(ACME, tenants=("other", "acme")), 10),
        (replace(ACME, subject="task-1"), 4),
        (replace(ACME, agent="deal-desk"), 2),
        (replace(ACME, server="erp"), 2),
        (replace(ACME, tool="pay"), 2),
        (replace(ACME, type="interlock.task.failed.v1"), 1),
        (replace(ACME, since=since), 2),
        (replace(ACME, until=since), 8),
        (replace(ACME, agent="deal-desk", until=since), 0),
    ]:
        assert len(await ledger.answer(question)) == count, question
        assert sum(one.records for one in await ledger.count(question)) == count, question


async def test_pages_meet_without_gap_or_overlap(ledger: SqlLedger) -> None:
    for minute in range(3):
        await ledger.append(kept(3, first=3 * minute, minute=minute))
    question, seen = replace(ACME, limit=7), []
    while page := await ledger.answer(question):
        seen += page
        question = replace(question, after=decide.place_of(decide.cursor_of(page[-1])))
    assert seen == await ledger.answer(ACME)
    assert len({one.entry.event_id for one in seen}) == 36
    assert [one.entry.arrived_at for one in seen] == sorted(
        (one.entry.arrived_at for one in seen), reverse=True
    )


async def test_an_odd_message_is_kept_too(ledger: SqlLedger) -> None:
    raw = build.raw(build.door_refused("null \0 in it"))
    odd = decide.keeping(arrived([raw])[0], build.NOON)
    await ledger.append([odd])
    (found,) = await ledger.answer(replace(ACME, tenants=("-",)))
    assert found.entry == odd.entry
    assert found.entry.subject == "null \ufffd in it"


async def test_a_second_migration_changes_nothing(ledger: SqlLedger, database: Database) -> None:
    await ledger.append(kept(1))
    await migrate(database, "services.audit.migrations")
    assert await chains(ledger) == 4
