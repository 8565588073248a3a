"""Calls that go on while somebody is asked, as upstreams of the handshake era do it; and logs."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskDenied,
    TaskInputRequired,
    TaskLogged,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Client
from interlock.testing import build
from services.invocation.clients import AskRefused, MemoryUpstream, UpstreamAnswer, UpstreamCall
from tests.services.invocation.rig import Opener, Rig, authorized, granted, in_round, task

DISCOUNT = task(used="grant_discount")
ASKS = Client(capabilities='{"elicitation":{},"roots":{}}', log_level="warning")
SURE = {"message": "sure?", "unknown": [1]}
ACCEPTED = {"action": "accept", "content": {"n": 1}}


class Chatty:
    """Asks `methods` at the same time while it is called, and answers with what it was told."""

    def __init__(self, methods: Sequence[str] = ("elicitation/create",)) -> None:
        self._methods = methods
        self.upstream = MemoryUpstream(self._answer)

    async def _answer(self, call: UpstreamCall) -> UpstreamAnswer:
        assert call.on_ask is not None
        ask = call.on_ask
        told = await asyncio.gather(*(self._asked(ask, method) for method in self._methods))
        return UpstreamAnswer(json.dumps({"told": told}), is_error=False)

    async def _asked(self, ask: Any, method: str) -> Any:
        try:
            return await ask(method, SURE)
        except AskRefused as error:
            return error.detail


def answers(asked: TaskInputRequired) -> str:
    """Answers to all that is asked."""
    return json.dumps({key: ACCEPTED for key in json.loads(asked.requests)})


async def test_a_call_goes_on_with_the_answer(opening: Opener) -> None:
    rig = opening(Chatty().upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    asked = await rig.asked()
    (request,) = json.loads(asked.requests).values()
    assert request == {"method": "elicitation/create", "params": SURE}
    await rig.send(granted(DISCOUNT, answers(asked), client=ASKS))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded) and json.loads(end.result) == {"told": [ACCEPTED]}
    assert [one.outcome for one in end.attempts] == ["answered"]
    assert end.task.round == 1


async def test_an_error_of_the_client_is_one_to_an_upstream_that_waits_for_it(
    opening: Opener,
) -> None:
    rig = opening(Chatty().upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    (key,) = json.loads((await rig.asked()).requests)
    said = "the client answered with error `-1`: no"
    await rig.send(granted(DISCOUNT, json.dumps({key: said}), client=ASKS))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded) and json.loads(end.result) == {"told": [said]}


async def test_the_answer_reaches_the_process_that_makes_the_call(opening: Opener) -> None:
    """Within a heartbeat, when another process takes the message in."""
    rig = opening(Chatty().upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    asked = await rig.asked()
    other = opening(start=False)
    await other.intake.accept(build.sent(granted(DISCOUNT, answers(asked), client=ASKS), "policy"))
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_questions_at_the_same_time_are_asked_together(opening: Opener) -> None:
    rig = opening(Chatty(["elicitation/create", "roots/list"]).upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    both = await rig.asked(2)
    methods = {one["method"] for one in json.loads(both.requests).values()}
    assert methods == {"elicitation/create", "roots/list"}
    await rig.send(granted(DISCOUNT, answers(both), client=ASKS))
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_what_was_not_answered_yet_is_asked_again_in_the_next_round(opening: Opener) -> None:
    rig = opening(Chatty(["elicitation/create", "roots/list"]).upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    both = await rig.asked(2)
    first, second = json.loads(both.requests)
    await rig.send(granted(DISCOUNT, json.dumps({first: ACCEPTED}), client=ASKS))
    again = await rig.asked(3)
    assert (again.task.round, list(json.loads(again.requests))) == (1, [second])
    await rig.send(granted(DISCOUNT, answers(again), 2, client=ASKS))
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_what_the_client_did_not_declare_is_refused_to_the_upstream(opening: Opener) -> None:
    rig = opening(Chatty(["sampling/createMessage"]).upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded)
    assert json.loads(end.result) == {"told": ["the client did not declare `sampling`"]}
    assert rig.stated(TaskInputRequired) == []


@pytest.mark.parametrize(
    ("used", "cancelled", "denied"),
    [
        ("grant_discount", TaskUnknown, TaskUnknown),
        ("search_opportunities", TaskCancelled, TaskDenied),
    ],
)
async def test_a_call_that_waits_is_stopped_as_any_call_is(
    opening: Opener, used: str, cancelled: type, denied: type
) -> None:
    rig = opening(Chatty().upstream)
    first, second = task("one", used), task("two", used)
    for one in (first, second):
        await rig.send(authorized(one, client=ASKS))
        await rig.asked(task_id=one.id)
    await rig.send(build.cancel_requested(first), build.input_denied(in_round(second, 1, "{}")))
    assert isinstance(await rig.end("one"), cancelled)
    assert isinstance(await rig.end("two"), denied)


async def test_a_process_that_dies_leaves_its_question_to_the_rules(opening: Opener) -> None:
    """A call that may be repeated asks anew; another's outcome is unknown."""
    rig = opening(Chatty().upstream)
    search = task("search")
    await rig.send(authorized(search, client=ASKS), authorized(DISCOUNT, client=ASKS))
    old = await rig.asked(task_id="search")
    await rig.asked()
    await rig.kill()
    other = opening(Chatty().upstream)
    assert isinstance(await other.end(), TaskUnknown)
    new = await other.asked(2, "search")
    assert json.loads(new.requests).keys() != json.loads(old.requests).keys()
    await other.send(granted(search, answers(old), client=ASKS))
    again = await other.asked(3, "search")
    assert again.task.round == 1
    await other.send(granted(search, answers(again), 2, client=ASKS))
    assert isinstance(await other.end("search"), TaskSucceeded)


# -- logs -----------------------------------------------------------------------------------------


class Logging:
    """Logs what it is told to, then answers."""

    def __init__(self, entries: Sequence[tuple[str, object]]) -> None:
        self._entries = entries
        self.upstream = MemoryUpstream(self._answer)

    async def _answer(self, call: UpstreamCall) -> UpstreamAnswer:
        for level, data in self._entries if call.on_log is not None else ():
            assert call.on_log is not None
            await call.on_log(level, json.dumps({"level": level, "data": data}))
        return UpstreamAnswer("{}", is_error=False)


async def logged(rig: Rig, client: Client) -> list[TaskLogged]:
    await rig.send(authorized(task(), client=client))
    await rig.end()
    await rig.ends.idle()
    return rig.stated(TaskLogged)


async def test_what_is_severe_enough_for_the_client_is_passed_on(opening: Opener) -> None:
    rig = opening(Logging([("info", 1), ("error", 2), ("nonsense", 3), ("warning", 4)]).upstream)
    found = await logged(rig, ASKS)
    assert [json.loads(one.entry)["data"] for one in found] == [2, 4]
    assert [one.seq for one in found] == [1, 2]


async def test_nothing_is_logged_for_a_client_that_did_not_ask(opening: Opener) -> None:
    rig = opening(Logging([("emergency", 1)]).upstream)
    assert await logged(rig, Client()) == []


async def test_logs_are_bounded_in_number_and_size(opening: Opener) -> None:
    rig = opening(Logging([("error", "x" * 9000)] * 150).upstream)
    found = await logged(rig, ASKS)
    assert len(found) == 100
    entry = json.loads(found[0].entry)
    assert len(found[0].entry) <= 8192
    assert entry["level"] == "error" and "cut: the entry had" in entry["data"]
