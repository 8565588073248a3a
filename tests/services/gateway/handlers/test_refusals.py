"""What audit learns of refusals."""

import asyncio

import pytest

from interlock.bus import Stamp
from interlock.bus.memory import MemoryBus
from interlock.contracts.outcomes import DoorRefused
from interlock.errors import Refused, Unavailable
from interlock.testing.build import KEYRING, noon
from services.gateway.handlers.refusals import Refusals
from tests.services.gateway.decide.test_admit import caller


def refusals(bus: MemoryBus) -> Refusals:
    numbers = iter(range(100))
    return Refusals(bus, Stamp("gateway", KEYRING, noon), lambda: f"request-{next(numbers)}")


def stated(bus: MemoryBus) -> list[DoorRefused]:
    return [DoorRefused.model_validate_json(raw.body) for raw in bus.published]


async def test_each_refusal_of_a_known_caller_is_stated() -> None:
    bus = MemoryBus(KEYRING, noon)
    told = refusals(bus)
    for tool in ("a", "b"):
        told.note(Refused("there is none", code="not_found"), caller(), "crm", tool)
    await told.flush()
    assert [(one.tool, one.tenant, one.count) for one in stated(bus)] == [
        ("a", "acme", 1),
        ("b", "acme", 1),
    ]
    assert len({raw.id for raw in bus.published}) == 2


async def test_refusals_of_unknown_callers_are_counted_by_reason() -> None:
    bus = MemoryBus(KEYRING, noon)
    told = refusals(bus)
    for code in ("invalid_token", "expired_token", "invalid_token"):
        told.note(Refused("no", code=code), None)
    await told.flush()
    assert bus.published == []
    told.state_counts()
    await told.flush()
    assert [(one.code, one.tenant, one.count) for one in stated(bus)] == [
        ("invalid_token", "-", 2),
        ("expired_token", "-", 1),
    ]


async def test_what_the_bus_did_not_take_waits() -> None:
    bus = MemoryBus(KEYRING, noon)
    told = refusals(bus)
    told.note(Refused("no", code="forbidden"), caller())
    bus.away = True
    with pytest.raises(Unavailable):
        await told.flush()
    bus.away = False
    await told.flush()
    await told.flush()
    assert len(stated(bus)) == 1


async def test_what_an_outage_kept_back_goes_out_without_another_refusal() -> None:
    bus = MemoryBus(KEYRING, noon)
    told = refusals(bus)
    told.note(Refused("no", code="forbidden"), caller())
    bus.away = True
    with pytest.raises(Unavailable):
        await told.run()
    bus.away = False
    await stopped(told, bus, 1)
    assert [one.code for one in stated(bus)] == ["forbidden"]


async def test_a_stop_states_what_was_counted() -> None:
    bus = MemoryBus(KEYRING, noon)
    told = refusals(bus)
    told.note(Refused("no", code="invalid_token"), None)
    await stopped(told, bus, 0)
    assert [(one.code, one.count) for one in stated(bus)] == [("invalid_token", 1)]


async def stopped(told: Refusals, bus: MemoryBus, after: int) -> None:
    """Run until so much is stated, then stop as the host does."""
    running = asyncio.create_task(told.run())
    async with asyncio.timeout(5.0):
        await asyncio.sleep(0)
        while len(bus.published) < after:  # noqa: ASYNC110 - the twin tells nobody
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
