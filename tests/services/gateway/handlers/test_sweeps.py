"""What happens by the clock."""

from datetime import datetime, timedelta

from interlock.bus import Stamp
from interlock.bus.memory import MemoryBus
from interlock.contracts.requests import DeadlinePassed
from interlock.testing import build
from interlock.testing.build import KEYRING, NOON, noon
from services.gateway.decide import merge
from services.gateway.handlers.sweeps import Sweeps
from services.gateway.model import Sent
from services.gateway.store import Accepting, MemorySnapshots, Shared


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


async def accepted(store: MemorySnapshots) -> Accepting:
    task = build.task()
    new = Accepting(merge.accepted(task, NOON), build.raw(build.authenticated(task)))
    await store.accept(new)
    return new


async def test_one_replica_publishes_what_was_never_confirmed() -> None:
    shared, bus, clock = Shared(), MemoryBus(KEYRING, noon), Clock()
    store = MemorySnapshots(shared, "a")
    new = await accepted(store)
    sweeps = [Sweeps(store, bus, Stamp("gateway", KEYRING, noon), clock) for _ in range(2)]
    clock.time += timedelta(seconds=5)
    assert [await sweep.republish_now() for sweep in sweeps] == [1, 0]
    assert bus.published == [new.raw]


async def test_what_is_confirmed_is_noted_for_many_at_once_and_not_sent_again() -> None:
    store, bus, clock = MemorySnapshots(Shared(), "a"), MemoryBus(KEYRING, noon), Clock()
    new = await accepted(store)
    sweeps = Sweeps(store, bus, Stamp("gateway", KEYRING, noon), clock)
    sweeps.confirmed(Sent(new.snapshot.place))
    await sweeps.mark_now()
    clock.time += timedelta(seconds=5)
    assert await sweeps.republish_now() == 0


async def test_an_end_is_asked_for_every_minute_under_ids_of_its_own() -> None:
    store, bus, clock = MemorySnapshots(Shared(), "a"), MemoryBus(KEYRING, noon), Clock()
    new = await accepted(store)
    sweeps = Sweeps(store, bus, Stamp("gateway", KEYRING, noon), clock)
    clock.time = new.snapshot.task.deadline + timedelta(seconds=59)
    asked = [await sweeps.ask_for_ends()]
    for seconds in (60, 61, 120, 180):
        clock.time = new.snapshot.task.deadline + timedelta(seconds=seconds)
        asked.append(await sweeps.ask_for_ends())
    assert asked == [0, 1, 0, 1, 1]
    assert {raw.attributes["ce_type"] for raw in bus.published} == {DeadlinePassed.type}
    assert len({raw.id for raw in bus.published}) == 3
