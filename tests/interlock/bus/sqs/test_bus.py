"""What only SQS can prove: deaths by its counts, its delays and limits, letters in queues."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.bus import Arrival, Effects, Envelope, Group, Limits, on
from interlock.bus.sqs import SqsBus
from interlock.bus.sqs.address import address
from interlock.bus.sqs.broker import Connection
from interlock.bus.sqs.broker.wire import pack
from interlock.bus.sqs.entries import Kept, milliseconds, packed
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.topics import Topic
from interlock.errors import Forged, Refused, Unavailable
from interlock.testing.build import KEYRING, authenticated, raw
from tests.interlock.bus.child import child, says
from tests.interlock.bus.harness import (
    QUICK,
    Seen,
    clock,
    eventually,
    noting,
    open_sqs,
    running,
    stop,
)
from tests.interlock.bus.test_redis import left

BODY = '{"text":"' + "x" * 30_000 + '"}'


@pytest.fixture
async def bus(sqs_url: str) -> AsyncIterator[SqsBus]:
    async with open_sqs(sqs_url) as opened:
        yield opened


@pytest.fixture
async def raw_client(sqs_url: str) -> AsyncIterator[Connection]:
    """Queues as others see them."""
    connection = Connection(address(sqs_url).place)
    yield connection
    await connection.close()


def policy(seen: Seen, **given: Any) -> Group:
    return Group("policy", [on(TaskAuthenticated, noting(seen))], **{"limits": QUICK, **given})


def queue(url: str, group: str = "policy", topic: Topic = Topic.TASK_AUTHENTICATED) -> str:
    return address(url).queue(topic, group)


async def settled(bus: SqsBus) -> Any:
    return await eventually(lambda: bus.backlog("policy"), lambda some: not left(some))


# -- deaths and hand-backs -----------------------------------------------------------------------


async def test_what_a_killed_consumer_held_comes_again(sqs_url: str) -> None:
    seen, url = Seen(), f"{sqs_url}&visibility=2"
    async with open_sqs(url) as bus, child(url) as process:
        await bus.publish([raw(authenticated("hang"))])
        await says(process, "hang")
        process.kill()
        await process.wait()
        async with running(bus, policy(seen)):
            (event,) = await seen.count(1)
            await settled(bus)
    assert event.body.task.id == "hang"


async def test_a_message_that_kills_its_process_is_parked_and_its_neighbours_are_not(
    sqs_url: str,
) -> None:
    url, seen = f"{sqs_url}&visibility=2", Seen()
    async with open_sqs(url) as bus:
        await bus.publish([raw(authenticated(name)) for name in ("a", "poison", "b")])
        for _ in range(QUICK.max_attempts):
            async with child(url) as process:
                await says(process, "poison")
                assert await process.wait() == -signal.SIGKILL
        async with running(bus, policy(seen)):
            (letter,) = await eventually(lambda: bus.letters("policy"))
            await settled(bus)
    assert (letter.code, letter.attempts) == ("killed", QUICK.max_attempts)
    assert letter.raw.attributes["ce_subject"] == "poison"
    assert {event.body.task.id for event in seen.items} <= {"a", "b"}


async def test_suspects_are_handled_one_after_another_without_a_pause(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    """Else a group that lets messages gather takes so long over what a dead member held that
    others may die of it, too."""
    seen = Seen()
    suspects = [packed(raw(authenticated(f"task-{n}")), Kept(deaths=1)) for n in range(5)]
    await raw_client.send(queue(sqs_url), suspects)
    async with running(bus, policy(seen, limits=replace(QUICK, linger=600.0))):
        assert {event.body.task.id for event in await seen.count(5)} == {
            f"task-{n}" for n in range(5)
        }


async def test_an_orderly_stop_that_hands_back_counts_no_attempt(bus: SqsBus) -> None:
    began, seen = Seen(), Seen()

    async def hang(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        await asyncio.Event().wait()
        return []

    once = replace(QUICK, max_attempts=1, handler_timeout=60)
    group = Group("policy", [on(TaskAuthenticated, hang)], limits=once)
    await bus.publish([raw(authenticated())])
    for _ in range(2):
        task = asyncio.ensure_future(bus.run(group))
        await began.until(lambda items: len(items) > len(seen.items))
        task.cancel()
        await asyncio.sleep(0)
        await stop(task)
        await seen.add("stopped")
    seen.items.clear()
    async with running(bus, policy(seen, limits=once)):
        await seen.count(1)
    assert await bus.letters("policy") == []


async def test_a_handler_slower_than_the_visibility_keeps_its_message(sqs_url: str) -> None:
    began = Seen()

    async def slow(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        await asyncio.sleep(2.5)  # beyond the visibility is what this is about
        return []

    group = Group("policy", [on(TaskAuthenticated, slow)], limits=Limits(handler_timeout=30))
    async with open_sqs(f"{sqs_url}&visibility=1") as bus, running(bus, group, group):
        await bus.publish([raw(authenticated())])
        await settled(bus)
    assert len(began.items) == 1


async def test_three_members_share_the_work(sqs_url: str) -> None:
    seen = [Seen(), Seen(), Seen()]
    small = replace(QUICK, batch=5)
    async with open_sqs(sqs_url) as one, open_sqs(sqs_url) as two:
        groups = [policy(each, limits=small) for each in seen]
        async with running(one, groups[0]), running(two, *groups[1:]):
            await one.publish([raw(authenticated(f"task-{n}")) for n in range(300)])
            await settled(one)
    got = [event.body.task.id for each in seen for event in each.items]
    assert len(got) == len(set(got)) == 300
    assert all(each.items for each in seen)


async def test_a_delay_beyond_that_of_sqs_is_waited_for_and_counts_no_attempt(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    seen, due = Seen(), clock() + timedelta(seconds=3)
    early = packed(raw(authenticated()), Kept(attempts=2, due=milliseconds(due)))
    async with running(bus, policy(seen)):
        await raw_client.send(queue(sqs_url), [early])
        await seen.count(1)
        assert clock() > due - timedelta(seconds=0.6), "to the nearest second"
        await settled(bus)


# -- order of sending, and failures of a part ----------------------------------------------------


async def test_a_root_event_reaches_audit_before_anybody_else(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    client: Any = await raw_client.client()
    await client.delete_queue(QueueUrl=await raw_client.url(queue(sqs_url, "audit")))
    with pytest.raises(Unavailable, match="interlock bus apply"):
        await bus.publish([raw(authenticated())])
    assert left(await bus.backlog("policy")) == 0
    with pytest.raises(Unavailable):
        await bus.publish([raw(authenticated(), cause="cause-1")])
    assert left(await bus.backlog("policy")) == 1, "its cause comes again: no need for an order"


# -- bodies over the limit -----------------------------------------------------------------------


@pytest.fixture
async def narrow(sqs_url: str, tmp_path: Path) -> AsyncIterator[SqsBus]:
    """A bus that takes 20,000 bytes, and a folder for what is more."""
    async with open_sqs(f"{sqs_url}&limit=20000&bodies={tmp_path}/bodies") as opened:
        yield opened


def bodies(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "bodies").rglob("*") if path.is_file()]


async def test_a_body_over_the_limit_arrives_as_it_was_sent(narrow: SqsBus, tmp_path: Path) -> None:
    seen, kept = Seen(), Seen()

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await kept.add(arrival)

    sent = raw(authenticated(arguments=BODY))
    async with running(narrow, policy(seen), Group("audit", keep=keep)):
        await narrow.publish([sent, raw(authenticated("small"))])
        await seen.count(2)
        await kept.count(2)
    assert sent in [event.raw for event in seen.items]
    assert sent in [arrival.raw for arrival in kept.items if arrival.fault is None]
    assert len(bodies(tmp_path)) == 1, "once, for both groups"


@pytest.mark.parametrize("harm", ["lost", "changed"])
async def test_a_body_that_is_not_what_it_was_parks_its_message(
    narrow: SqsBus, tmp_path: Path, harm: str
) -> None:
    sent, seen = raw(authenticated(arguments=BODY)), Seen()
    await narrow.publish([sent])
    (path,) = bodies(tmp_path)
    whole = path.read_bytes()
    path.unlink() if harm == "lost" else path.write_bytes(whole[:-1] + b" ")
    async with running(narrow, policy(seen)):
        (letter,) = await eventually(lambda: narrow.letters("policy"))
        assert (letter.code, seen.items) == ("unreadable", [])
        path.write_bytes(whole)
        assert await narrow.redrive("policy", [letter.letter_id])
        (event,) = await seen.count(1)
    assert event.raw == sent


async def test_a_dead_letter_shows_the_body_that_lies_elsewhere(narrow: SqsBus) -> None:
    async def refuse(event: Envelope[TaskAuthenticated]) -> Effects:
        raise Forged("no")

    sent = raw(authenticated(arguments=BODY))
    async with running(narrow, Group("policy", [on(TaskAuthenticated, refuse)], limits=QUICK)):
        await narrow.publish([sent])
        (letter,) = await eventually(lambda: narrow.letters("policy"))
    assert letter.raw == sent
    assert await narrow.letter("policy", letter.letter_id) == letter


async def test_a_message_as_large_as_may_be_is_retried_and_parked_all_the_same(
    sqs_url: str,
) -> None:
    async def fail(event: Envelope[TaskAuthenticated]) -> Effects:
        raise RuntimeError("boom" * 1_000)

    large = '{"text":"' + "x" * 13_000 + '"}'
    async with open_sqs(f"{sqs_url}&limit=20000") as bus:
        async with running(bus, Group("policy", [on(TaskAuthenticated, fail)], limits=QUICK)):
            await bus.publish([sent := raw(authenticated(arguments=large))])
            (letter,) = await eventually(lambda: bus.letters("policy"))
    assert (letter.code, letter.attempts, letter.raw) == ("internal", QUICK.max_attempts, sent)
    assert (letter.traceback, len(letter.history)) == ("", 1), "no room for more"


async def test_a_suspect_beside_one_whose_store_is_away_is_not_forgotten(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    seen, away = Seen(), [True]

    async def one_is_away(event: Envelope[TaskAuthenticated]) -> Effects:
        if event.body.task.id == "away" and away:
            away.pop()
            raise Unavailable("the database is away")
        await seen.add(event.body.task.id)
        return []

    suspect = packed(raw(authenticated("suspect")), Kept(deaths=1))
    await raw_client.send(queue(sqs_url), [packed(raw(authenticated("away"))), suspect])
    group = Group("policy", [on(TaskAuthenticated, one_is_away)], limits=QUICK)
    async with running(bus, group):
        await seen.count(2)
        await settled(bus)
    assert sorted(seen.items) == ["away", "suspect"]


async def test_without_a_store_a_body_over_the_limit_is_refused(sqs_url: str) -> None:
    async def large(event: Envelope[TaskAuthenticated]) -> Effects:
        return [raw(authenticated("large", arguments=BODY))]

    group = Group("policy", [on(TaskAuthenticated, large)], limits=QUICK)
    async with open_sqs(f"{sqs_url}&limit=20000") as bus:
        with pytest.raises(Refused, match="bodies="):
            await bus.publish([raw(authenticated(arguments=BODY))])
        async with running(bus, group):
            await bus.publish([raw(authenticated("cause"))])
            (letter,) = await eventually(lambda: bus.letters("policy"))
    assert (letter.code, letter.raw.attributes["ce_subject"]) == ("too_large", "cause")


# -- what others put into our queues -------------------------------------------------------------


async def test_a_message_of_somebody_else_is_parked_as_it_lay_there(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    foreign = pack({}, b"hello"), pack({"ce_id": "\udfff"}, b"\x00\xff"), pack({}, b"")
    async with running(bus, policy(Seen())):
        await raw_client.send(queue(sqs_url), foreign)
        letters = await eventually(lambda: bus.letters("policy"), lambda some: len(some) == 3)
    assert {letter.code for letter in letters} == {"forged"}
    assert {letter.raw.body for letter in letters} == {b"hello", b"\x00\xff", b""}
    told = {letter.raw.body: letter.raw.attributes for letter in letters}
    assert told[b"\x00\xff"] == {"headers": '{"ce_id": "\\udfff"}'}


# -- dead letters --------------------------------------------------------------------------------


async def test_letters_are_redriven_in_numbers_and_looking_takes_none(bus: SqsBus) -> None:
    broken, seen = [True], Seen()

    async def refuse(event: Envelope[TaskAuthenticated]) -> Effects:
        if broken:
            raise Forged("no")
        await seen.add(event.body.task.id)
        return []

    names = [f"task-{n}" for n in range(25)]
    async with running(bus, Group("policy", [on(TaskAuthenticated, refuse)], limits=QUICK)):
        await bus.publish([raw(authenticated(name)) for name in names])
        letters = await eventually(lambda: bus.letters("policy"), lambda some: len(some) == 25)
        some = await bus.letters("policy", 5, lambda one: one.raw.attributes["ce_subject"] != "no")
        assert some == letters[:5], "the oldest first"
        broken.clear()
        moved = await bus.redrive("policy", [one.letter_id for one in letters[:20]])
        assert sorted(await seen.count(20)) == sorted(
            one.raw.attributes["ce_subject"] for one in letters[:20]
        )
        rest = await bus.letters("policy")
    assert moved == {one.letter_id for one in letters[:20]}
    assert rest == letters[20:]


async def test_a_letter_that_sqs_itself_moved_is_read_as_killed(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    sent, seen = raw(authenticated()), Seen()
    await raw_client.send(address(sqs_url).dead(Topic.TASK_AUTHENTICATED, "policy"), [packed(sent)])
    (letter,) = await bus.letters("policy")
    assert (letter.code, letter.raw) == ("killed", sent)
    assert await bus.redrive("policy", [letter.letter_id])
    async with running(bus, policy(seen)):
        (event,) = await seen.count(1)
    assert event.raw == sent


# -- the queues themselves -----------------------------------------------------------------------


async def test_a_plan_names_what_is_missing_and_applying_it_makes_it_so(sqs_url: str) -> None:
    bus = SqsBus(sqs_url, KEYRING, clock)
    await bus.open()
    missing = await bus.plan()
    assert {(change.found, change.safe) for change in missing} == {("missing", True)}
    assert all(re.fullmatch(r"queue `[\w-]{1,80}`", change.what) for change in missing)
    await bus.apply()
    assert await bus.plan() == []
    await bus.close()


async def test_another_groups_letters_are_not_taken_over(
    sqs_url: str, bus: SqsBus, raw_client: Connection
) -> None:
    client: Any = await raw_client.client()
    mine, theirs = queue(sqs_url), queue(sqs_url, "audit")
    policy_of = (await raw_client.attributes(theirs))["RedrivePolicy"]
    wrong = {"RedrivePolicy": policy_of, "VisibilityTimeout": "7"}
    await client.set_queue_attributes(QueueUrl=await raw_client.url(mine), Attributes=wrong)
    told = {(one.found, one.wanted, one.safe) for one in await bus.plan()}
    assert told == {
        ("visibility=7", "visibility=30", True),
        (f"dead letters to {theirs}-dead", f"dead letters to {mine}-dead", False),
    }
    await bus.apply()
    assert (await raw_client.attributes(mine))["RedrivePolicy"] == policy_of


async def test_suites_in_other_environments_do_not_meet(sqs_url: str, bus: SqsBus) -> None:
    mine, theirs = Seen(), Seen()
    async with open_sqs(sqs_url.replace("test-", "other-")) as other:
        async with running(bus, policy(mine)), running(other, policy(theirs)):
            await bus.publish([raw(authenticated())])
            await mine.count(1)
            assert left(await other.backlog("policy")) == 0
    assert theirs.items == []
