"""What upstreams say of themselves, and what is noticed where they say nothing."""

import asyncio
from time import monotonic

from interlock.bus.wire import read
from interlock.contracts.catalogue import Inspection, Lifecycle
from interlock.contracts.upstream_events import (
    UpstreamList,
    UpstreamListChanged,
    UpstreamResourceUpdated,
)
from interlock.state import CATALOGUE
from interlock.state.interest import MemoryInterest, Wish
from services.invocation.clients import Connection, Hear, MemoryUpstream, Notice, Wanted
from services.invocation.handlers import Listening
from services.invocation.model import Heard, Listener, Lists
from services.invocation.store import HeardStore
from tests.services.invocation.rig import Opener, Rig, answering, server

SEARCH = '{"name":"search"}'
OTHER = '{"name":"other"}'
CRM = ("acme", "crm")
TOOLS = frozenset({UpstreamList.TOOLS})


def looking(*tools: str) -> Inspection:
    return Inspection(protocol_version="2026-07-28", tools=tools)


def upstream_with(*tools: str) -> MemoryUpstream:
    return MemoryUpstream(answering, {"crm": looking(*tools)})


class Ear:
    """One process that listens, or waits for its turn."""

    def __init__(self, rig: Rig, *, look_seconds: float = 3600.0) -> None:
        self.rig = rig
        self.store = HeardStore(rig.database)
        self.interest = MemoryInterest(monotonic)
        self.listening = Listening(rig.around, self.store, self.interest, monotonic, look_seconds)
        self.task = asyncio.create_task(self.listening.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def known(self, *tools: str) -> Heard:
        """Wait until exactly these tools are what was last stated of the CRM."""
        lists = Lists.seen(looking(*tools))
        async with asyncio.timeout(20):
            while True:
                heard = await self.store.heard(CRM)
                if heard is not None and heard.lists == lists:
                    return heard
                await asyncio.sleep(0.005)


def changes(rig: Rig) -> list[UpstreamListChanged]:
    """What was stated, each once however often it was published."""
    found = {raw.id: read(raw).body for raw in rig.bus.published}
    return [fact for fact in found.values() if isinstance(fact, UpstreamListChanged)]


async def test_what_differs_from_the_catalogue_is_stated_at_first_sight_and_only_once(
    opening: Opener,
) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig, look_seconds=0.05)
    await ear.known(SEARCH)
    await rig.until(lambda: len(upstream.listening) == 1)
    await ear.stop()
    assert changes(rig) == [UpstreamListChanged(tenant="acme", server="crm", lists=("tools",))]


async def test_a_server_that_is_as_the_catalogue_has_it_is_no_news(opening: Opener) -> None:
    upstream = upstream_with("{}", "{}")  # both of the catalogue's definitions
    rig = opening(upstream)
    ear = Ear(rig, look_seconds=0.02)
    await rig.until(lambda: upstream.looks > 2)
    await ear.stop()
    assert not changes(rig)


async def test_a_word_of_the_upstream_is_passed_on_and_its_look_states_nothing_more(
    opening: Opener,
) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig)
    await ear.known(SEARCH)
    await rig.until(lambda: bool(upstream.listening))
    upstream.servers["crm"] = looking(SEARCH, OTHER)
    for _ in range(50):
        upstream.say("crm", Notice(TOOLS))
    heard = await ear.known(SEARCH, OTHER)
    await ear.stop()
    assert heard.seq == len(changes(rig)) == 2
    assert changes(rig)[-1].lists == (UpstreamList.TOOLS,)


async def test_a_silent_change_is_seen_by_the_look_and_stated_once(opening: Opener) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig, look_seconds=0.05)
    await ear.known(SEARCH)
    upstream.servers["crm"] = looking(OTHER)
    await ear.known(OTHER)
    await ear.stop()
    assert len(changes(rig)) == 2


async def test_what_changes_while_the_upstream_is_away_is_seen_when_it_is_back(
    opening: Opener,
) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig)
    await ear.known(SEARCH)
    await rig.until(lambda: bool(upstream.listening))
    del upstream.servers["crm"]
    upstream.hang_up()
    await rig.until(lambda: not upstream.listening)
    upstream.servers["crm"] = looking(OTHER)
    await ear.known(OTHER)
    await ear.stop()


async def test_one_process_listens_and_another_takes_over_when_it_is_gone(opening: Opener) -> None:
    first, second = upstream_with(SEARCH), upstream_with(SEARCH)
    one, two = opening(first), opening(second)
    ear = Ear(one)
    await ear.known(SEARCH)
    heir = Ear(two)
    await one.until(lambda: bool(first.listening))
    assert not heir.listening.listens
    assert not second.listening
    ear.listening._store = HeardStore(two.database)  # it says nothing more, and does not take leave
    held = ear.listening._held
    assert held is not None
    ear.task.cancel()
    ear.listening._held = None
    await asyncio.gather(ear.task, return_exceptions=True)
    second.servers["crm"] = looking(OTHER)
    await heir.known(OTHER)
    assert heir.listening.listens
    assert await heir.store.beat(held) is None
    assert not await heir.store.note(held, CRM, Heard(9, Lists({})))
    await heir.stop()
    assert [fact.lists for fact in changes(two)] == [("tools",), ("tools",)]


async def test_whoever_stops_leaves_the_lease_to_others_at_once(opening: Opener) -> None:
    rig = opening(upstream_with(SEARCH))
    ear = Ear(rig)
    await ear.known(SEARCH)
    await ear.stop()
    assert (await ear.store.listener()).owner is None


async def test_of_two_who_take_it_one_gets_it(opening: Opener) -> None:
    store = HeardStore(opening(start=False).database)
    seen = await store.listener()
    assert await store.take(seen, "one") == Listener("one", 1, 1)
    assert await store.take(seen, "two") is None


async def test_a_server_that_nobody_may_call_is_not_dialled(opening: Opener) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig)
    await rig.until(lambda: bool(upstream.listening))
    rig.state.publish(CATALOGUE, "acme", "crm", server(lifecycle=Lifecycle.RETIRED))
    await rig.until(lambda: not upstream.listening)
    await ear.stop()


async def test_a_resource_is_subscribed_to_while_somebody_wants_to_hear_of_it(
    opening: Opener,
) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig)

    def subscribed() -> list[frozenset[str]]:
        return [wanted.uris for _, wanted in upstream.listening if wanted.uris]

    await rig.until(lambda: bool(upstream.listening))
    assert not subscribed()
    await ear.interest.renew([Wish("acme", "crm", "crm://accounts/7")])
    await rig.until(lambda: subscribed() == [{"crm://accounts/7"}])
    await ear.interest.renew([Wish("acme", "crm", "crm://accounts/8")])
    await rig.until(lambda: subscribed() == [{"crm://accounts/7", "crm://accounts/8"}])
    upstream.say("crm", Notice(uri="crm://accounts/7"))
    await rig.until(lambda: len(updates(rig)) == 1)
    ear.interest.wishes.clear()
    await rig.until(lambda: not subscribed())
    await ear.stop()
    assert updates(rig) == ["crm://accounts/7"]


def updates(rig: Rig) -> list[str]:
    """The resources that were told of, one after another."""
    facts = [read(raw).body for raw in rig.bus.published]
    return [fact.uri for fact in facts if isinstance(fact, UpstreamResourceUpdated)]


SEVEN = Wish("acme", "crm", "crm://accounts/7")


async def test_who_subscribes_is_told_of_changes_alone_and_doors_know_from_when_on(
    opening: Opener,
) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig)
    await rig.until(lambda: bool(upstream.listening))
    await ear.interest.renew([SEVEN])
    assert await ear.interest.unheard([SEVEN]) == {SEVEN}
    await rig.until(lambda: ear.interest.hears == {SEVEN})
    upstream.say("crm", Notice(uri=SEVEN.uri))
    await rig.until(lambda: bool(updates(rig)))
    await ear.stop()
    assert updates(rig) == [SEVEN.uri]


async def test_what_was_wanted_before_this_process_heard_the_upstream_may_have_changed(
    opening: Opener,
) -> None:
    rig = opening(upstream_with(SEARCH))
    ear = Ear(rig)
    await ear.interest.renew([SEVEN])  # before its first look
    await rig.until(lambda: updates(rig) == [SEVEN.uri])
    await ear.stop()


async def test_nobody_waits_for_an_upstream_that_cannot_tell(opening: Opener) -> None:
    class Mute(MemoryUpstream):
        async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
            """It does not know the method."""

    ear = Ear(opening(Mute(answering, {"crm": looking(SEARCH)})))
    await ear.interest.renew([SEVEN])
    await ear.rig.until(lambda: ear.interest.hears == {SEVEN})
    await ear.stop()
    assert not updates(ear.rig)


async def test_a_change_while_the_stream_of_resources_is_broken_is_told_after_that(
    opening: Opener,
) -> None:
    upstream = upstream_with(SEARCH)
    rig = opening(upstream)
    ear = Ear(rig)
    await ear.interest.renew([Wish("acme", "crm", "crm://accounts/7")])
    await rig.until(lambda: len(updates(rig)) == 1)
    upstream.hang_up()
    await rig.until(lambda: not upstream.listening)
    upstream.say("crm", Notice(uri="crm://accounts/7"))  # to nobody
    await rig.until(lambda: len(updates(rig)) == 2)
    await ear.stop()
