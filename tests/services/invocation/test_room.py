"""How much runs at once, and who is asked when there is room again."""

import asyncio

import pytest

from services.invocation.handlers.room import Room
from services.invocation.model import Limits

CRM, MAIL = ("acme", "crm"), ("acme", "mail")


@pytest.fixture
def room() -> Room:
    """Room for three, of which two of one server; the first look at the journal is done."""
    room = Room(Limits(total=3, per_server=2))
    assert room.free() is not None
    return room


async def heard(room: Room) -> bool:
    """Whether somebody who waits would be woken now."""
    waiting = asyncio.create_task(room.changed(60.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    woken = waiting.done()
    waiting.cancel()
    return woken


def test_before_the_first_look_nothing_is_taken_past_older_work() -> None:
    room = Room(Limits())
    assert not room.take(CRM)
    free = room.free()
    assert free is not None and free.only is None
    assert room.take(CRM)


def test_a_server_has_a_share_and_the_process_a_limit(room: Room) -> None:
    assert [room.take(CRM) for _ in range(3)] == [True, True, False]
    assert room.take(MAIL)
    assert not room.take(("acme", "other"))
    room.release(CRM)
    assert room.take(("acme", "other"))


async def test_room_that_somebody_waits_for_wakes(room: Room) -> None:
    room.take(CRM)
    room.take(CRM)
    room.release(CRM)
    assert not await heard(room), "nobody waits"
    room.take(CRM)
    room.expect(CRM)
    assert await heard(room)
    assert room.free() is None, "there is no room for it yet"
    room.release(CRM)
    assert await heard(room)
    free = room.free()
    assert free is not None
    assert (free.only, free.room[CRM], free.most) == ({CRM}, 1, 2)
    assert room.free() is None, "it was looked for"


def test_nobody_overtakes_work_that_waits_for_the_same_server(room: Room) -> None:
    room.expect(CRM)
    assert not room.take(CRM)
    assert room.take(MAIL)


def test_a_look_everywhere_leaves_full_servers_for_later(room: Room) -> None:
    room.take(CRM)
    room.take(CRM)
    room.expect_anything()
    free = room.free()
    assert free is not None and free.only is None and free.room[CRM] == 0
    room.release(CRM)
    later = room.free()
    assert later is not None and later.only == {CRM}


async def test_waiting_for_a_change_is_bounded(room: Room) -> None:
    assert not await room.changed(0.001)
