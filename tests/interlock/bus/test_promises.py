"""What every bus promises."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from interlock.bus import Arrival, Bus, Effects, Envelope, Group, Limits, Raw, Route, Together, on
from interlock.contracts.ids import EventId
from interlock.contracts.outcomes import TaskDenied, TaskParked
from interlock.contracts.requests import CallAuthorized, CancelRequested, TaskAuthenticated
from interlock.contracts.task import TaskKind
from interlock.contracts.topics import Topic, topics_of
from interlock.errors import Forged, Unavailable
from interlock.testing.build import (
    authenticated,
    authorized,
    cancel_requested,
    denied,
    raw,
    task,
)
from tests.interlock.bus.harness import (
    QUICK,
    Seen,
    eventually,
    forged,
    noting,
    resigned,
    running,
    stop,
)


def policy(*routes: Route, **given: Any) -> Group:
    return Group("policy", routes, **{"limits": QUICK, **given})


def ids(seen: Sequence[Envelope[TaskAuthenticated]]) -> set[str]:
    return {event.body.task.id for event in seen}


async def test_every_message_reaches_its_handler(bus: Bus) -> None:
    seen, sent = Seen(), [raw(authenticated(f"task-{n}")) for n in range(300)]
    async with running(bus, policy(on(TaskAuthenticated, noting(seen)))):
        await bus.publish(sent)
        await seen.count(300)
    assert {event.id for event in seen.items} == {message.id for message in sent}


async def test_a_handler_gets_the_message_as_it_was_sent(bus: Bus) -> None:
    seen = Seen()
    sent = raw(authenticated(), cause="cause-1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    async with running(bus, policy(on(TaskAuthenticated, noting(seen)))):
        await bus.publish([sent])
        (event,) = await seen.count(1)
    assert event.raw == sent
    assert (event.body, event.source, event.cause) == (authenticated(), "gateway", "cause-1")
    assert event.traceparent == f"00-{'a' * 32}-{'b' * 16}-01"


async def test_what_was_published_before_a_group_first_ran_reaches_it(bus: Bus) -> None:
    seen = Seen()
    await bus.publish([raw(authenticated())])
    async with running(bus, policy(on(TaskAuthenticated, noting(seen)))):
        await seen.count(1)


async def test_each_group_gets_every_message_and_members_of_one_share(bus: Bus) -> None:
    first, second, kept = Seen(), Seen(), Seen()

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await kept.add(arrival.raw.id)

    sent = [raw(authenticated(f"task-{n}")) for n in range(50)]
    members = [policy(on(TaskAuthenticated, noting(seen))) for seen in (first, second)]
    async with running(bus, *members, Group("audit", keep=keep, limits=QUICK)):
        await bus.publish(sent)
        await kept.count(50)
        await eventually(lambda: in_flight(bus), lambda left: left == 0)
    assert sorted(kept.items) == sorted(message.id for message in sent)
    assert len(first.items) + len(second.items) == 50


async def in_flight(bus: Bus, group: str = "policy") -> int:
    return sum(one.waiting + one.in_flight for one in await bus.backlog(group))


async def test_facts_that_a_handler_returns_are_published_with_their_cause(bus: Bus) -> None:
    seen, ready = Seen(), raw(denied("other"), "policy")

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        return [denied(event.body.task), ready]

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            if isinstance(arrival.fact, TaskDenied):
                await seen.add(arrival.raw)

    cause = raw(authenticated(), traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    async with running(bus, policy(on(TaskAuthenticated, deny)), Group("audit", keep=keep)):
        await bus.publish([cause])
        answers = await seen.count(2)
    stated = next(answer for answer in answers if answer.attributes["ce_subject"] == "task-1")
    assert stated.attributes["ce_cause"] == cause.id
    assert stated.attributes["ce_source"] == "policy"
    assert stated.attributes["traceparent"] == cause.attributes["traceparent"]
    assert ready in answers


async def test_a_redelivered_cause_has_effects_under_the_same_ids(bus: Bus) -> None:
    seen = Seen()

    async def deny(event: Envelope[TaskAuthenticated]) -> Effects:
        return [denied(event.body.task), denied(event.body.task, code="again")]

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            if isinstance(arrival.fact, TaskDenied):
                await seen.add((arrival.raw.id, arrival.fact.code))

    async with running(bus, policy(on(TaskAuthenticated, deny)), Group("audit", keep=keep)):
        await bus.publish([raw(authenticated())])
        await seen.count(2)
        await bus.publish([raw(authenticated())])
        stated = await seen.count(4)
    assert len(set(stated)) == 2


async def test_a_handler_that_fails_publishes_nothing(bus: Bus) -> None:
    tries, seen = Seen(), Seen()

    async def fail_once(event: Envelope[TaskAuthenticated]) -> Effects:
        await tries.add(event.id)
        if len(tries.items) == 1:
            raise RuntimeError("boom")
        return [denied(event.body.task)]

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await seen.add(arrival.fact)

    async with running(bus, policy(on(TaskAuthenticated, fail_once)), Group("audit", keep=keep)):
        await bus.publish([raw(authenticated())])
        await seen.until(lambda kept: denied() in kept)
    assert len(tries.items) == 2
    assert seen.items.count(denied()) == 1


async def test_a_known_type_without_a_handler_is_acknowledged(bus: Bus) -> None:
    async with running(bus, policy()):
        await bus.publish([raw(authenticated()), raw(cancel_requested())])
        await eventually(lambda: in_flight(bus), lambda left: left == 0)
    assert await bus.letters("policy") == []


async def test_what_does_not_concern_a_group_is_acknowledged_unread(bus: Bus) -> None:
    seen = Seen()

    async def note(event: Envelope[TaskAuthenticated]) -> Effects:
        await seen.add(event.body.task.id)
        return []

    inspection = task("task-2").model_copy(update={"kind": TaskKind.INSPECT})
    group = replace(
        policy(on(TaskAuthenticated, note)),
        wants=lambda attributes: attributes.get("ce_taskkind") == TaskKind.INSPECT,
    )
    async with running(bus, group):
        await bus.publish([raw(authenticated("task-1")), raw(authenticated(inspection))])
        await seen.count(1)
        await eventually(lambda: in_flight(bus), lambda left: left == 0)
    assert seen.items == ["task-2"]


async def test_a_failing_message_is_retried_then_parked_with_its_history(bus: Bus) -> None:
    tries, sent = Seen(), raw(authenticated())

    async def fail(event: Envelope[TaskAuthenticated]) -> Effects:
        await tries.add(event.id)
        raise RuntimeError(f"boom {len(tries.items)}")

    async with running(bus, policy(on(TaskAuthenticated, fail))):
        await bus.publish([sent])
        (letter,) = await eventually(lambda: bus.letters("policy"))
        backlog = {one.topic: one.dead for one in await bus.backlog("policy")}
    assert len(tries.items) == letter.attempts == QUICK.max_attempts
    assert [line.rpartition(" ")[2] for line in letter.history] == ["1", "2", "3"]
    assert (letter.code, letter.raw) == ("internal", sent)
    assert 'raise RuntimeError(f"boom' in letter.traceback
    assert letter.dead_topic == "task.authenticated.policy.dead"
    assert backlog == {"task.authenticated": 1, "task.control": 0}


async def test_a_poison_message_never_holds_up_its_neighbours(bus: Bus) -> None:
    seen = Seen()

    async def fail_on_poison(event: Envelope[TaskAuthenticated]) -> Effects:
        if event.body.task.id == "poison":
            raise RuntimeError("boom")
        await seen.add(event)
        return []

    endless = Limits(first_delay=30, max_delay=30)
    group = policy(on(TaskAuthenticated, fail_on_poison), limits=endless)
    async with running(bus, group):
        await bus.publish([raw(authenticated(name)) for name in ("a", "poison", "b")])
        await seen.count(2)
        await bus.publish([raw(authenticated("c"))])
        await seen.count(3)
    assert ids(seen.items) == {"a", "b", "c"}


async def test_a_forged_message_is_parked_and_never_handled(bus: Bus) -> None:
    seen, fake = Seen(), forged(raw(authenticated("fake")))
    async with running(bus, policy(on(TaskAuthenticated, noting(seen)))):
        await bus.publish([fake, raw(authenticated("true"))])
        await seen.count(1)
        (letter,) = await eventually(lambda: bus.letters("policy"))
    assert ids(seen.items) == {"true"}
    assert (letter.code, letter.raw, letter.attempts) == ("forged", fake, 1)


async def test_a_forged_copy_does_not_displace_the_letter_of_the_true_one(bus: Bus) -> None:
    async def refuse(event: Envelope[TaskAuthenticated]) -> Effects:
        raise Forged("another digest")

    true = raw(authenticated())
    async with running(bus, policy(on(TaskAuthenticated, refuse))):
        await bus.publish([forged(true), true, true])
        letters = await eventually(lambda: bus.letters("policy"), lambda some: len(some) == 2)
        await eventually(lambda: in_flight(bus), lambda left: left == 0)
        again = await bus.letters("policy")
    assert {letter.raw.attributes["mac"] for letter in letters} == {
        true.attributes["mac"],
        forged(true).attributes["mac"],
    }
    assert len(again) == 2


async def test_an_unreadable_message_is_parked_at_once_with_its_bytes(bus: Bus) -> None:
    good = raw(authenticated())
    broken = resigned(Raw(good.topic, good.attributes, b'{"task": 7, "secret": "s3"}'))
    async with running(bus, policy(on(TaskAuthenticated, noting(Seen())))):
        await bus.publish([broken])
        (letter,) = await eventually(lambda: bus.letters("policy"))
    assert (letter.code, letter.raw.body, letter.attempts) == ("unreadable", broken.body, 1)
    assert "s3" not in letter.reason


async def test_a_message_of_a_newer_type_is_retried_before_it_is_parked(bus: Bus) -> None:
    limits = Limits(first_delay=0.01, max_delay=0.01, max_attempts=2, unknown_type_attempts=4)
    newer = resigned(raw(authenticated()), ce_type="interlock.task.authenticated.v9")
    async with running(bus, policy(limits=limits)):
        await bus.publish([newer])
        (letter,) = await eventually(lambda: bus.letters("policy"))
    assert (letter.code, letter.attempts) == ("unknown_type", 4)


async def test_a_group_pauses_while_its_store_is_away_and_counts_no_attempt(bus: Bus) -> None:
    tries, seen = Seen(), Seen()

    async def store_is_away(event: Envelope[TaskAuthenticated]) -> Effects:
        await tries.add(event.id)
        if len(tries.items) <= QUICK.max_attempts:
            raise Unavailable("the database is away")
        await seen.add(event)
        return []

    async with running(bus, policy(on(TaskAuthenticated, store_is_away))):
        await bus.publish([raw(authenticated())])
        await seen.count(1)
    assert len(tries.items) == QUICK.max_attempts + 1
    assert await bus.letters("policy") == []


async def test_neighbours_of_one_whose_store_is_away_are_not_handled_twice(bus: Bus) -> None:
    seen, away = Seen(), [True]

    async def one_is_away(event: Envelope[TaskAuthenticated]) -> Effects:
        await seen.add(event.body.task.id)
        if event.body.task.id == "away" and away:
            away.pop()
            raise Unavailable("the database is away")
        return []

    await bus.publish([raw(authenticated(name)) for name in ("a", "away", "b")])
    async with running(bus, policy(on(TaskAuthenticated, one_is_away))):
        await seen.until(lambda items: items.count("away") == 2)
    assert sorted(seen.items) == ["a", "away", "away", "b"]


async def test_a_handler_that_hangs_counts_as_failed_and_its_neighbours_do_not(bus: Bus) -> None:
    seen = Seen()

    async def hang(event: Envelope[TaskAuthenticated]) -> Effects:
        if event.body.task.id == "hangs":
            await asyncio.Event().wait()
        await seen.add(event)
        return []

    limits = Limits(handler_timeout=0.1, max_attempts=2, first_delay=0.01)
    await bus.publish([raw(authenticated(name)) for name in ("a", "hangs", "b")])
    async with running(bus, policy(on(TaskAuthenticated, hang), limits=limits)):
        (letter,) = await eventually(lambda: bus.letters("policy"))
    assert ids(seen.items) == {"a", "b"}
    assert (letter.code, letter.attempts) == ("timeout", 2)


async def test_one_that_hangs_does_not_fail_those_who_wait_for_it(bus: Bus) -> None:
    seen = Seen()

    async def answer(questions: Sequence[str]) -> Sequence[str]:
        return questions

    together = Together(answer)

    async def hang(event: Envelope[TaskAuthenticated]) -> Effects:
        if event.body.task.id == "hangs":
            await asyncio.Event().wait()
        await together(event.body.task.id)
        await seen.add(event)
        return []

    limits = Limits(handler_timeout=0.1, max_attempts=1)
    await bus.publish([raw(authenticated(name)) for name in ("a", "hangs", "b")])
    async with running(bus, policy(on(TaskAuthenticated, hang), limits=limits)):
        (letter,) = await eventually(lambda: bus.letters("policy"))
        await seen.count(2)
    assert ids(seen.items) == {"a", "b"}
    assert letter.raw.attributes["ce_subject"] == "hangs"


async def test_calls_that_handlers_of_a_batch_share_are_one_call(bus: Bus) -> None:
    seen, calls = Seen(), Seen()

    async def answer(questions: Sequence[str]) -> Sequence[str]:
        await calls.add(list(questions))
        return [question.upper() for question in questions]

    together = Together(answer)

    async def ask(event: Envelope[TaskAuthenticated]) -> Effects:
        said = await together(event.body.task.id)
        await seen.add((said, await together(said + "!")))
        return []

    names = [f"task-{n}" for n in range(20)]
    await bus.publish([raw(authenticated(name)) for name in names])
    async with running(bus, policy(on(TaskAuthenticated, ask))):
        await seen.count(20)
    assert sorted(seen.items) == sorted((n.upper(), f"{n.upper()}!") for n in names)
    assert [sorted(call) for call in calls.items] == [
        sorted(names),
        sorted(f"{name.upper()}!" for name in names),
    ]


async def test_a_shared_call_that_fails_is_repeated_message_by_message(bus: Bus) -> None:
    seen, calls = Seen(), Seen()

    async def answer(questions: Sequence[str]) -> Sequence[str]:
        await calls.add(len(questions))
        if "poison" in questions:
            raise ValueError("a row breaks the rules")
        return questions

    together = Together(answer)

    async def ask(event: Envelope[TaskAuthenticated]) -> Effects:
        await together(event.body.task.id)
        await seen.add(event)
        return []

    await bus.publish([raw(authenticated(name)) for name in ("a", "poison", "b", "c")])
    async with running(bus, policy(on(TaskAuthenticated, ask))):
        (letter,) = await eventually(lambda: bus.letters("policy"))
    assert ids(seen.items) == {"a", "b", "c"}
    assert len(seen.items) == 3
    assert letter.attempts == QUICK.max_attempts
    assert calls.items[0] == 4
    assert set(calls.items[1:]) == {1}


async def test_parking_a_hand_over_states_that_the_task_is_parked(bus: Bus) -> None:
    stated = Seen()

    async def fail(event: Envelope[TaskAuthenticated] | Envelope[CallAuthorized]) -> Effects:
        raise Forged("the grant names another task")

    async def note(event: Envelope[TaskParked]) -> Effects:
        await stated.add(event)
        return []

    groups = (
        policy(on(TaskAuthenticated, fail)),
        Group("invocation", [on(CallAuthorized, fail)], limits=QUICK),
        Group("gateway", [on(TaskParked, note)], limits=QUICK),
    )
    before, after = raw(authenticated("before")), raw(authorized("after"), "policy")
    async with running(bus, *groups):
        await bus.publish([before, after, raw(cancel_requested())])
        parked = {event.body.task.id: event for event in await stated.count(2)}
        letter = await bus.letter("policy", parked["before"].body.letter_id)
    assert letter is not None
    assert letter.raw == before
    assert letter.dead_topic == parked["before"].body.dead_topic
    assert not parked["before"].body.after_decision
    assert parked["after"].body.after_decision
    assert parked["after"].source == "invocation"
    assert parked["after"].cause == after.id
    assert parked["after"].body.code == "forged"


async def test_parking_what_hands_nothing_over_states_nothing(bus: Bus) -> None:
    kept = Seen()

    async def fail(event: Envelope[CancelRequested]) -> Effects:
        raise Forged("not theirs to cancel")

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await kept.add(arrival.raw.attributes["ce_type"])

    fake = forged(raw(authenticated()))
    async with running(bus, policy(on(CancelRequested, fail)), Group("audit", keep=keep)):
        await bus.publish([raw(cancel_requested()), fake])
        await eventually(lambda: bus.letters("policy"), lambda letters: len(letters) == 2)
        await bus.publish([raw(denied())])
        await kept.until(lambda types: TaskDenied.type in types)
    assert TaskParked.type not in kept.items


async def test_a_redriven_letter_comes_again_under_its_own_id(bus: Bus) -> None:
    seen, broken = Seen(), [True]

    async def fail_at_first(event: Envelope[TaskAuthenticated]) -> Effects:
        if broken:
            raise Forged("bad")
        await seen.add(event.raw)
        return []

    sent = raw(authenticated())
    async with running(bus, policy(on(TaskAuthenticated, fail_at_first))):
        await bus.publish([sent])
        (letter,) = await eventually(lambda: bus.letters("policy"))
        broken.clear()
        assert await bus.redrive("policy", [letter.letter_id])
        assert await seen.count(1) == [sent]
        assert await bus.letters("policy") == []
        assert not await bus.redrive("policy", [letter.letter_id])


async def test_a_dropped_letter_is_gone(bus: Bus) -> None:
    async with running(bus, policy()):
        await bus.publish([forged(raw(authenticated()))])
        (letter,) = await eventually(lambda: bus.letters("policy"))
        assert await bus.letter("policy", letter.letter_id) == letter
        assert await bus.drop("policy", [letter.letter_id])
    assert await bus.letters("policy") == []
    assert await bus.letter("policy", letter.letter_id) is None
    assert not await bus.drop("policy", [EventId("no-such-letter")])


async def test_backlog_says_what_waits_and_for_how_long(bus: Bus) -> None:
    began, go = Seen(), asyncio.Event()

    async def wait(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        await go.wait()
        return []

    await bus.publish([raw(authenticated(f"task-{n}")) for n in range(3)])
    before = {one.topic: one for one in await bus.backlog("policy")}
    limits = Limits(batch=1, handler_timeout=30)
    async with running(bus, policy(on(TaskAuthenticated, wait), limits=limits)):
        await began.count(1)
        during = await eventually(
            lambda: bus.backlog("policy"), lambda figures: figures[0].oldest_seconds > 0.05
        )
        go.set()
        await eventually(lambda: in_flight(bus), lambda left: left == 0)
        after = await bus.backlog("policy")
    assert tuple(before) == topics_of("policy")
    assert (before[Topic.TASK_AUTHENTICATED].waiting, before[Topic.TASK_CONTROL].waiting) == (3, 0)
    assert (during[0].waiting, during[0].in_flight) == (2, 1)
    assert [one.oldest_seconds for one in after] == [0.0, 0.0]


async def test_a_delayed_retry_is_part_of_the_backlog(bus: Bus) -> None:
    async def fail(event: Envelope[TaskAuthenticated]) -> Effects:
        raise RuntimeError("boom")

    limits = Limits(first_delay=1000, max_delay=1000)
    async with running(bus, policy(on(TaskAuthenticated, fail), limits=limits)):
        await bus.publish([raw(authenticated())])
        (figures, _) = await eventually(
            lambda: bus.backlog("policy"),
            lambda some: (
                (some[0].waiting, some[0].in_flight) == (1, 0) and some[0].oldest_seconds > 0.05
            ),
        )
    assert figures.dead == 0


async def test_a_group_that_keeps_everything_gets_what_nobody_may_believe(bus: Bus) -> None:
    kept = Seen()

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await kept.add(arrival)

    good = raw(authenticated())
    sent = {
        None: good,
        "forged": forged(raw(authenticated("fake"))),
        "unreadable": resigned(Raw(good.topic, {**good.attributes, "ce_id": "u"}, b"{")),
        "unknown_type": resigned(good, ce_id="n", ce_type="interlock.task.authenticated.v9"),
    }
    async with running(bus, Group("audit", keep=keep, limits=QUICK)):
        await bus.publish(list(sent.values()))
        arrived = {arrival.fault: arrival for arrival in await kept.count(4)}
    assert {fault: arrival.raw for fault, arrival in arrived.items()} == sent
    assert arrived[None].fact == authenticated()
    assert arrived["forged"].fact is None
    assert arrived["forged"].reason


async def test_a_kept_batch_that_fails_is_repeated_message_by_message(bus: Bus) -> None:
    kept = Seen()

    async def keep(arrivals: Sequence[Arrival]) -> None:
        if any(arrival.raw.attributes["ce_subject"] == "poison" for arrival in arrivals):
            raise ValueError("a row breaks the rules")
        for arrival in arrivals:
            await kept.add(arrival.raw.attributes["ce_subject"])

    await bus.publish([raw(authenticated(name)) for name in ("a", "poison", "b")])
    async with running(bus, Group("audit", keep=keep, limits=QUICK)):
        (letter,) = await eventually(lambda: bus.letters("audit"))
    assert sorted(kept.items) == ["a", "b"]
    assert letter.attempts == QUICK.max_attempts


async def test_a_group_that_is_not_ready_reads_nothing(bus: Bus) -> None:
    seen, ready, asked = Seen(), [False], Seen()

    def is_ready() -> bool:
        asked.items.append(1)
        return ready[0]

    async with running(bus, policy(on(TaskAuthenticated, noting(seen)), ready=is_ready)):
        await bus.publish([raw(authenticated())])

        async def times_asked() -> int:
            return len(asked.items)

        await eventually(times_asked, lambda times: times > 3)
        assert seen.items == []
        ready[0] = True
        await seen.count(1)


async def test_a_stop_finishes_what_is_in_hand(bus: Bus) -> None:
    began, seen, go = Seen(), Seen(), asyncio.Event()

    async def slow(event: Envelope[TaskAuthenticated]) -> Effects:
        await began.add(event)
        await go.wait()
        return [denied(event.body.task)]

    async def keep(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            await seen.add(arrival.fact)

    limits = Limits(handler_timeout=10)
    group = asyncio.ensure_future(bus.run(policy(on(TaskAuthenticated, slow), limits=limits)))
    await bus.publish([raw(authenticated())])
    await began.count(1)
    group.cancel()
    asyncio.get_running_loop().call_later(0.05, go.set)
    await stop(group)
    assert await in_flight(bus) == 0
    async with running(bus, Group("audit", keep=keep)):
        await seen.until(lambda facts: denied() in facts)


async def test_a_healthy_bus_passes_its_check(bus: Bus) -> None:
    await bus.check()


@pytest.mark.parametrize("count", [0, 1])
async def test_publishing_nothing_or_one_is_fine(bus: Bus, count: int) -> None:
    await bus.publish([raw(authenticated())] * count)
    assert await in_flight(bus) == count
