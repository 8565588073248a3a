"""What was committed goes out: after the commit, or when somebody comes to find it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from interlock.bus import Raw, Stamp
from interlock.bus.memory import MemoryBus
from interlock.contracts.access import AgentRecord
from interlock.contracts.changes import AgentRegistered
from interlock.errors import Unavailable
from interlock.runtime.relay import Relay, publish_state, state_fact
from interlock.state import AGENTS, Entry
from interlock.state.memory import MemoryState, MemoryStateReader, MemoryStateWriter
from interlock.storage import Database, migrate
from interlock.storage.outbox import OUTBOX
from interlock.testing.build import KEYRING, NOON, noon, person
from tests.interlock.storage.tables import PACKAGE

ROOT = Path(__file__).parents[3]


class World:
    """A database and where its relay brings things."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.bus = MemoryBus(KEYRING, noon)
        self.state = MemoryState()
        self.now = NOON

    def relay(self, **changed: float) -> Relay:
        writer = MemoryStateWriter(self.state)
        return Relay(self.database, self.bus, writer, lambda: self.now, **changed)

    def published(self) -> list[str]:
        return [raw.attributes["ce_subject"] for raw in self.bus.published]

    def written(self, name: str) -> Entry | None:
        return self.state.entries.get(("agents", "acme", name))


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    database = Database(database_url, schema="people")
    await migrate(database, PACKAGE)
    yield World(database)
    await database.close()


def fact(name: str, now: Callable[[], datetime] = noon) -> Raw:
    message = AgentRegistered(by=person(), tenant="acme", name=name, version=1)
    return Stamp("auth", KEYRING, now).from_journal(message, (0, 1), None)


def register(name: str, about: str = "") -> Callable[[Connection], int]:
    """As a store does it: the record and the fact about it in one transaction."""

    def work(connection: Connection) -> int:
        record = AgentRecord(tenant="acme", name=name, description=about)
        state_fact(connection, fact(name))
        return publish_state(connection, AGENTS, "acme", name, record)

    return work


async def test_what_was_committed_before_a_flush_is_out_after_it(world: World) -> None:
    relay = world.relay()
    assert await world.database.run(register("bot", "new")) == 1
    await relay.flush()
    assert world.published() == ["bot"]
    reader = MemoryStateReader(world.state, (AGENTS,))
    await reader.load()
    assert reader.view(AGENTS).of("acme")["bot"].description == "new"


async def test_the_message_goes_out_as_it_was_stated(world: World) -> None:
    await world.database.run(register("bot"))
    await world.relay().flush()
    assert world.bus.published == [fact("bot")]


async def test_what_was_rolled_back_never_goes_out(world: World) -> None:
    def half(connection: Connection) -> None:
        register("bot")(connection)
        raise LookupError

    with pytest.raises(LookupError):
        await world.database.run(half)
    await world.relay().flush()
    assert (world.published(), world.written("bot")) == ([], None)


async def test_facts_go_out_once_and_a_repeated_one_not_again(world: World) -> None:
    relay = world.relay()
    for _ in range(2):
        await world.database.run(register("bot"))
        await relay.flush()
    assert world.published() == ["bot"]


async def test_each_publication_of_a_record_has_the_next_version(world: World) -> None:
    database = world.database
    assert [await database.run(register("bot")) for _ in range(3)] == [1, 2, 3]
    assert await database.run(register("cat")) == 1
    assert await database.run(lambda c: publish_state(c, AGENTS, "acme", "bot", None)) == 4
    await world.relay().flush()
    assert world.written("bot") == Entry("agents", "acme", "bot", 4, None)
    assert await database.run(register("bot")) == 5


async def test_versions_do_not_collide_side_by_side(world: World) -> None:
    versions = await asyncio.gather(*(world.database.run(register("bot")) for _ in range(20)))
    assert sorted(versions) == list(range(1, 21))


async def test_many_go_out_in_the_order_in_which_they_were_stated(world: World) -> None:
    def many(connection: Connection) -> None:
        for n in reversed(range(450)):
            state_fact(connection, fact(f"bot-{n}", lambda n=n: NOON + timedelta(seconds=n)))  # type: ignore[misc]  # a default makes it untypable
            publish_state(connection, AGENTS, "acme", f"bot-{n}", None)

    await world.database.run(many)
    await world.relay().flush()
    assert world.published() == [f"bot-{n}" for n in range(450)]
    assert len(world.state.entries) == 450


async def test_side_by_side_flushes_each_find_their_own_out(world: World) -> None:
    relay = world.relay()

    async def one(name: str) -> None:
        await world.database.run(register(name))
        await relay.flush()
        assert name in world.published()
        assert world.written(name) is not None

    await asyncio.gather(*(one(f"bot-{n}") for n in range(30)))
    assert len(world.published()) == 30


async def test_a_flush_that_cannot_is_unavailable_and_it_goes_out_later(world: World) -> None:
    relay = world.relay()
    world.bus.away = True
    await world.database.run(register("bot"))
    with pytest.raises(Unavailable, match=r"it is saved.*the bus is away") as told:
        await relay.flush()
    assert told.value.code == "saved"
    assert world.written("bot") is not None, "a revocation does not wait for the bus"
    world.bus.away = False
    await relay.flush()
    assert world.published() == ["bot"]


async def test_facts_go_out_while_published_state_is_away(world: World) -> None:
    relay = world.relay()
    world.state.away = True
    await world.database.run(register("bot"))
    with pytest.raises(Unavailable, match="state is away"):
        await relay.flush()
    assert world.published() == ["bot"]
    world.state.away = False
    await relay.flush()
    assert world.written("bot") is not None


async def test_a_relay_that_starts_finds_what_is_pending(world: World) -> None:
    await world.database.run(register("bot"))
    async with running(world.relay()):
        await until(lambda: world.published() == ["bot"] and world.written("bot") is not None)


async def test_a_relay_writes_all_of_its_state_again_at_its_start_and_later(world: World) -> None:
    await world.database.run(register("bot"))
    await world.relay().flush()
    world.state.entries.clear()
    async with running(world.relay(poll_seconds=0.01, rewrite_seconds=0.05)):
        await until(lambda: world.written("bot") is not None)
        world.state.entries.clear()
        await until(lambda: world.written("bot") is not None)


async def test_a_running_relay_outlasts_an_outage(world: World) -> None:
    world.bus.away = world.state.away = True
    await world.database.run(register("bot"))
    relay = world.relay(poll_seconds=0.01)
    async with running(relay):
        for _ in range(3):
            with pytest.raises(Unavailable):
                await relay.flush()
        assert world.published() == []
        world.bus.away = world.state.away = False
        await until(lambda: world.published() == ["bot"] and world.written("bot") is not None)


async def test_a_running_relay_is_woken(world: World) -> None:
    relay = world.relay(poll_seconds=1000)
    async with running(relay):
        await world.database.run(register("bot"))
        relay.notify()
        await until(lambda: world.published() == ["bot"])


async def test_several_relays_of_one_database_do_no_harm(world: World) -> None:
    relays = [world.relay(poll_seconds=0.01) for _ in range(3)]
    async with running(relays[0]), running(relays[1]), running(relays[2]):
        for n in range(10):
            await world.database.run(register("bot", str(n)))
            await world.database.run(register(f"bot-{n}"))
            relays[n % 3].notify()
        await until(lambda: len(set(world.published())) == 11)
        await until(lambda: (entry := world.written("bot")) is not None and entry.version == 10)


async def test_published_facts_are_forgotten_after_a_day(world: World) -> None:
    await world.database.run(register("old"))
    await world.relay().flush()
    world.now = NOON + timedelta(hours=25)
    await world.database.run(register("new"))
    count = select(func.count()).select_from(OUTBOX)
    async with running(world.relay(poll_seconds=0.01)):
        await until(lambda: world.published() == ["old", "new"])
        assert await world.database.read(lambda c: c.execute(count).scalar_one()) == 1


async def test_what_was_committed_before_a_kill_goes_out_after_the_restart(
    world: World, database_url: str
) -> None:
    """A real process, killed between its commit and its publication."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", COMMIT_AND_HANG, database_url),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        assert await child.stdout.readline() == b"committed\n"
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    assert world.published() == []
    async with running(world.relay()):
        await until(lambda: world.published() == ["bot"] and world.written("bot") is not None)


COMMIT_AND_HANG = """
import asyncio, sys
from interlock.storage import Database
from tests.interlock.runtime.test_relay import register

async def main():
    await Database(sys.argv[1], schema="people").run(register("bot"))
    print("committed", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - anything may make it true
            await asyncio.sleep(0.005)
