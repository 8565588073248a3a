"""Audit keeps everything once, and signs it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import Connection, text

from interlock.bus import Arrival, Group, MemoryBus
from interlock.errors import Forged
from interlock.ledger import read_checkpoint
from interlock.storage import Database
from interlock.testing import build
from services.audit.handlers import Audit
from services.audit.model import Question
from tests.interlock.ledger.ledgers import story
from tests.services.audit.messages import Clock, arrived, calls

ALL = Question(("acme", "-"), limit=1000)


@asynccontextmanager
async def consuming(bus: MemoryBus, group: Group) -> AsyncIterator[None]:
    work = asyncio.create_task(bus.run(group))
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def test_messages_of_the_bus_are_kept_believed_or_not(audit: Audit) -> None:
    bus = MemoryBus(build.KEYRING, build.noon)
    true = story()
    forged = true[3]._replace(body=true[3].body.replace(b"content", b"discontent"))
    newer = build.raw(build.started())
    newer = newer._replace(attributes={**newer.attributes, "ce_type": "interlock.task.newer.v1"})
    async with consuming(bus, Group("audit", keep=audit.keep)):
        await bus.publish([forged, *true, newer])
        await bus.drain()
    found = await audit.ledger.answer(ALL)
    assert sorted(one.entry.fault for one in found) == ["", "", "", "", "forged", "forged"]
    believed = {one.entry.event_id: one for one in found if not one.entry.fault}
    assert believed.keys() == {raw.id for raw in true}
    assert believed[true[3].id].index.outcome == "succeeded"
    assert not await bus.letters("audit")


async def test_a_failure_between_append_and_acknowledgement_appends_once(audit: Audit) -> None:
    """The messages were kept and not acknowledged, so the bus delivers them again, one by one."""
    failed = asyncio.Event()

    async def keep_and_fail(arrivals: Sequence[Arrival]) -> None:
        await audit.keep(arrivals)
        if not failed.is_set():
            failed.set()
            raise RuntimeError("killed")

    bus = MemoryBus(build.KEYRING, build.noon)
    async with consuming(bus, Group("audit", keep=keep_and_fail)):
        await bus.publish([arrival.raw for arrival in calls(5)])
        await bus.drain()
    assert failed.is_set()
    assert len(await audit.ledger.answer(ALL)) == 20
    assert (await audit.verify()).ok


async def test_a_redelivery_in_other_batches_appends_once(audit: Audit) -> None:
    batch = calls(5)
    await audit.keep(batch)
    await audit.keep(batch[10:])
    await audit.keep([*batch[:10], *calls(1, first=5)])
    assert len(await audit.ledger.answer(ALL)) == 24
    assert (await audit.verify()).ok


async def test_an_append_that_is_cancelled_is_whole_or_not_there(audit: Audit) -> None:
    append = asyncio.create_task(audit.keep(calls(5)))
    await asyncio.sleep(0)
    append.cancel()
    with suppress(asyncio.CancelledError):
        await append
    await audit.keep(calls(5))
    assert len(await audit.ledger.answer(ALL)) == 20
    assert (await audit.verify()).ok


async def statements(audit: Audit) -> tuple[list[str], list[str]]:
    """In the anchor, and beside the ledger, oldest first."""
    beside = [statement for _, _, statement in await audit.ledger.checkpoints(100)]
    return list(audit.anchor.statements(audit.ledger.origin)), beside[::-1]


async def test_heads_that_moved_are_signed_in_the_anchor_and_beside(
    audit: Audit, clock: Clock
) -> None:
    await audit.keep(calls(2))
    await audit.checkpoint()
    clock.pass_(seconds=1)
    await audit.checkpoint()
    await audit.keep(calls(2, first=2))
    await audit.checkpoint()
    anchored, beside = await statements(audit)
    assert anchored == beside
    assert len(anchored) == 2
    newest = read_checkpoint(audit.trust, anchored[-1], audit.ledger.origin)
    assert list(newest.heads) == await audit.ledger.heads()
    assert newest.time == clock.now()


async def test_replicas_may_sign_the_same_heads(audit: Audit, clock: Clock) -> None:
    other = Audit(audit.ledger, audit.anchor, audit.signer, audit.trust, clock.now)
    await audit.keep(calls(2))
    await asyncio.gather(audit.checkpoint(), other.checkpoint())
    clock.pass_(seconds=1)
    await other.keep(calls(1, first=2))
    await asyncio.gather(audit.checkpoint(), other.checkpoint())
    assert (await audit.verify()).ok


async def test_heads_that_contradict_what_was_signed_are_not_signed(
    audit: Audit, database: Database
) -> None:
    await audit.keep(calls(4))
    await audit.checkpoint()
    await run(database, ["DELETE FROM records", "UPDATE heads SET seq = 0"])
    with pytest.raises(Forged, match="cut or changed"):
        await audit.checkpoint()
    assert len((await statements(audit))[0]) == 1


async def test_open_and_overdue_tasks_are_told_as_of_now(audit: Audit, clock: Clock) -> None:
    await audit.keep(calls(1)[:3])
    clock.pass_(minutes=30)
    report = await audit.verify()
    assert report.ok and report.open_count == 1
    clock.pass_(minutes=40)
    assert (await audit.verify()).counts == {"overdue": 1}


async def test_a_batch_may_hold_the_same_message_twice(audit: Audit) -> None:
    await audit.keep([*calls(1), *calls(1)])
    assert len(await audit.ledger.answer(ALL)) == 4


async def test_the_same_forgery_is_recorded_once(audit: Audit) -> None:
    (raw, *_) = story()
    forgery = Arrival(raw, None, "forged", "not signed")
    await audit.keep([forgery])
    await audit.keep([forgery, *arrived([raw])])
    found = await audit.ledger.answer(ALL)
    assert sorted(one.entry.fault for one in found) == ["", "forged"]


async def run(database: Database, statements: Sequence[str]) -> None:
    def work(connection: Connection) -> None:
        for one in statements:
            connection.execute(text(one))

    await database.run(work)
