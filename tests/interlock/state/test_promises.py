"""What `interlock.state.port` promises, held by every adapter."""

import asyncio
import random

import pytest

from interlock.errors import Unavailable
from interlock.state import AGENTS, CATALOGUE, Entry
from tests.interlock.state.harness import World, agent, entry, running, until


async def test_what_was_written_is_there_after_a_load(world: World) -> None:
    await world.writer.write([entry(1, agent("bot", "one")), entry(1, agent("cat"), "cat")])
    reader = world.new_reader()
    await reader.load()
    view = reader.view(AGENTS)
    assert view.get("acme", "bot") == agent("bot", "one")
    assert set(view.of("acme")) == {"bot", "cat"}
    assert view.tenants() == ("acme",)
    assert reader.view(CATALOGUE).of("acme") == {}


async def test_tenants_do_not_see_each_other(world: World) -> None:
    await world.writer.write([entry(1, agent("bot", "theirs", tenant="evil"))])
    reader = world.new_reader()
    await reader.load()
    assert reader.view(AGENTS).get("acme", "bot") is None
    assert reader.view(AGENTS).of("evil")["bot"].description == "theirs"


async def test_the_higher_version_wins_in_any_order(world: World) -> None:
    reader = world.new_reader()
    versions = [entry(n, agent("bot", str(n))) for n in range(1, 9)]
    random.Random(7).shuffle(versions)
    for one in versions:
        await world.writer.write([one])
        await reader.load()
    assert reader.view(AGENTS).get("acme", "bot") == agent("bot", "8")


async def test_a_removal_is_not_undone_by_an_older_version(world: World) -> None:
    reader = world.new_reader()
    await world.writer.write([entry(1, agent("bot"))])
    await reader.load()
    assert reader.view(AGENTS).tenants() == ("acme",)
    await world.writer.write([entry(3, None)])
    await reader.load()
    await world.writer.write([entry(2, agent("bot", "back"))])
    late = world.new_reader()
    for one in (reader, late):
        await one.load()
        assert one.view(AGENTS).get("acme", "bot") is None
        assert one.view(AGENTS).tenants() == ()
    await world.writer.write([entry(4, agent("bot", "again"))])
    await reader.load()
    assert reader.view(AGENTS).get("acme", "bot") == agent("bot", "again")


async def test_a_running_reader_follows(world: World) -> None:
    reader = world.new_reader()
    await reader.load()
    async with running(reader):
        for n in range(1, 4):
            await world.writer.write([entry(n, agent("bot", str(n)))])
            await until(lambda n=n: reader.view(AGENTS).get("acme", "bot") == agent("bot", str(n)))  # type: ignore[misc]  # a default makes it untypable


async def test_confirm_sees_the_newest_at_once(world: World) -> None:
    reader = world.new_reader()
    await reader.load()
    await world.writer.write([entry(1, agent("bot"))])
    view = reader.view(AGENTS)
    assert view.get("acme", "bot") is None
    await view.confirm()
    assert view.get("acme", "bot") == agent("bot")


async def test_each_of_many_confirms_sees_what_was_before_it(world: World) -> None:
    reader = world.new_reader()
    await reader.load()
    view = reader.view(AGENTS)

    async def ask(n: int) -> None:
        await world.writer.write([entry(1, agent("bot"), f"bot-{n}")])
        await view.confirm()
        assert view.get("acme", f"bot-{n}") == agent("bot")

    await asyncio.gather(*(ask(n) for n in range(50)))


async def test_the_version_grows_with_every_change_and_only_then(world: World) -> None:
    reader = world.new_reader()
    await reader.load()
    view, seen = reader.view(AGENTS), [reader.view(AGENTS).version]
    for one in (entry(1, agent("bot")), entry(1, agent("bot")), entry(2, None)):
        await world.writer.write([one])
        await view.confirm()
        seen.append(view.version)
    assert seen[0] < seen[1] == seen[2] < seen[3]


async def test_a_record_that_cannot_be_read_leaves_the_last_good_one(world: World) -> None:
    reader = world.new_reader()
    await world.writer.write([entry(1, agent("bot", "good")), entry(1, agent("cat"), "cat")])
    await reader.load()
    await world.writer.write(
        [Entry("agents", "acme", "bot", 2, b'{"no": "agent"}'), entry(2, None, "cat")]
    )
    await reader.load()
    assert list(reader.view(AGENTS).of("acme")) == ["bot"]
    assert reader.view(AGENTS).get("acme", "bot") == agent("bot", "good")
    await world.writer.write([entry(3, agent("bot", "better"))])
    await reader.load()
    assert reader.view(AGENTS).get("acme", "bot") == agent("bot", "better")


async def test_a_mapping_in_hand_does_not_change(world: World) -> None:
    await world.writer.write([entry(1, agent("bot"))])
    reader = world.new_reader()
    await reader.load()
    before = reader.view(AGENTS).of("acme")
    await world.writer.write([entry(1, agent("cat"), "cat")])
    await reader.load()
    assert (len(before), len(reader.view(AGENTS).of("acme"))) == (1, 2)


async def test_nothing_refreshed_for_five_seconds_is_stale(world: World) -> None:
    reader = world.new_reader()
    assert not reader.fresh
    await reader.load()
    world.away(True)
    world.clock.seconds += 4.9
    assert reader.fresh
    world.clock.seconds += 0.2
    assert not reader.fresh
    world.away(False)
    await reader.view(AGENTS).confirm()
    assert reader.fresh


async def test_an_outage_is_unavailable_and_takes_nothing_away(world: World) -> None:
    await world.writer.write([entry(1, agent("bot"))])
    reader = world.new_reader()
    await reader.load()
    world.away(True)
    with pytest.raises(Unavailable):
        await reader.view(AGENTS).confirm()
    with pytest.raises(Unavailable):
        await reader.load()
    with pytest.raises(Unavailable):
        await world.writer.write([entry(2, None)])
    assert reader.view(AGENTS).get("acme", "bot") == agent("bot")


async def test_a_running_reader_outlasts_an_outage(world: World) -> None:
    reader = world.new_reader()
    await reader.load()
    world.away(True)
    async with running(reader):
        world.clock.seconds += 6
        await asyncio.sleep(0)
        assert not reader.fresh
        world.away(False)
        await world.writer.write([entry(1, agent("bot"))])
        await until(lambda: reader.fresh and reader.view(AGENTS).get("acme", "bot") is not None)
