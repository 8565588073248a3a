"""Calls that an upstream answers with a question: they wait, and are made again with the input."""

import json

import pytest

from interlock.bus.wire import read
from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskInputRequired,
    TaskSucceeded,
)
from interlock.contracts.requests import AuthorizationExpired
from interlock.contracts.task import Client
from interlock.errors import Early, Forged
from interlock.testing import build
from services.invocation.clients import MemoryUpstream, UpstreamAnswer, UpstreamCall
from services.invocation.model import Asks, State
from tests.services.invocation.rig import RESULT, Opener, Rig, authorized, granted, in_round, task

DISCOUNT = task(used="grant_discount")
ASKS = Client(capabilities='{"elicitation":{}}')
YES, MORE = '{"sure":{"action":"accept"}}', '{"why":{"action":"decline"}}'
REQUESTS = '{"sure": {"method":"elicitation/create","params":{"message":"sure?"}}}'
STATE = '"opaque \\u00e9"'


class Curious:
    """Asks as often as it is told to, then answers."""

    def __init__(self, times: int = 1, requests: str = REQUESTS, state: str | None = STATE) -> None:
        self._left = times
        self._asks = Asks(requests, state)
        self.upstream = MemoryUpstream(self._answer)

    @property
    def heard(self) -> list[tuple[str | None, str | None]]:
        """What each call brought along."""
        return [(call.given, call.request_state) for call in self.upstream.calls]

    async def _answer(self, call: UpstreamCall) -> UpstreamAnswer:
        if self._left == 0:
            return UpstreamAnswer(RESULT, is_error=False)
        self._left -= 1
        return UpstreamAnswer("{}", is_error=False, asks=self._asks)


async def waiting(rig: Rig, task_id: str = "task-1") -> None:
    """Until the row waits for input."""
    await rig.asked(task_id=task_id)
    there = await rig.journal.find(("acme", task(task_id).id))
    assert there is not None and there.state is State.WAITING


async def test_a_call_is_made_again_with_the_answers_and_the_very_state(opening: Opener) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    asked = await rig.asked()
    assert (asked.requests, asked.task.round, asked.attempt) == (REQUESTS, 0, 1)
    await rig.send(granted(DISCOUNT, YES, client=ASKS))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded) and end.task.round == 1
    assert [one.outcome for one in end.attempts] == ["asked", "answered"]
    assert curious.heard == [(None, None), (YES, STATE)]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ('{"sure":"the client answered with error `-1`: no"}', "error `-1`: no"),
        ('{"sure":{},"why":[1]}', "no result"),
    ],
)
async def test_an_upstream_is_not_asked_again_without_all_results(
    opening: Opener, given: str, why: str
) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await rig.asked()
    await rig.send(granted(DISCOUNT, given, client=ASKS))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "input_error"
    assert why in end.reason
    assert len(curious.heard) == 1


async def test_an_upstream_may_ask_in_many_rounds(opening: Opener) -> None:
    curious = Curious(times=6)
    rig = opening(curious.upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    for number in range(1, 7):
        asked = await rig.asked(number)
        assert asked.task.round == number - 1
        await rig.send(granted(DISCOUNT, YES, number, client=ASKS))
    assert isinstance(await rig.end(), TaskSucceeded)
    assert len(curious.heard) == 7


async def test_input_that_comes_twice_or_late_changes_nothing(opening: Opener) -> None:
    curious = Curious(times=2)
    rig = opening(curious.upstream)
    first, second = granted(DISCOUNT, YES, client=ASKS), granted(DISCOUNT, MORE, 2, client=ASKS)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await rig.asked()
    await rig.send(first, first, authorized(DISCOUNT, client=ASKS))
    await rig.asked(2)
    await rig.send(first, second, second, first)
    end = await rig.end()
    await rig.send(first, second)
    await rig.bus.drain()
    assert await rig.end() == end
    assert [given for given, _ in curious.heard] == [None, YES, MORE]


async def test_input_before_what_it_answers_is_neither_believed_nor_lost(opening: Opener) -> None:
    rig = opening(Curious(times=2).upstream)
    second = build.sent(granted(DISCOUNT, MORE, 2, client=ASKS), "policy")
    with pytest.raises(Early):
        await rig.intake.accept(second)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await rig.asked()
    with pytest.raises(Early):
        await rig.intake.accept(second)
    await rig.send(granted(DISCOUNT, YES, client=ASKS))
    await rig.asked(2)
    assert await rig.intake.accept(second) == ()
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_other_input_for_a_round_is_forged(opening: Opener) -> None:
    rig = opening(Curious(times=2).upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await rig.asked()
    other = authorized(in_round(task(), 1, YES), given=YES)
    with pytest.raises(Forged):
        await rig.intake.accept(build.sent(other, "policy"))
    await rig.send(granted(DISCOUNT, YES, client=ASKS))
    await rig.asked(2)
    with pytest.raises(Forged):
        await rig.intake.accept(build.sent(granted(DISCOUNT, MORE, client=ASKS), "policy"))


async def test_what_the_client_did_not_declare_is_not_asked(opening: Opener) -> None:
    rig = opening(Curious().upstream)
    await rig.send(authorized(DISCOUNT))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "undeclared_capability"
    assert end.reason == (
        "server `crm` asked for `elicitation`, which the caller's client did not declare"
    )
    assert end.error is not None
    error = json.loads(end.error)
    assert (error["code"], error["message"]) == (-32021, end.reason)
    assert error["data"] == {"requiredCapabilities": {"elicitation": {}}}
    assert rig.stated(TaskInputRequired) == []


async def test_an_upstream_does_not_hear_of_the_extension_that_ends_at_the_gateway(
    opening: Opener,
) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    declared = '{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{},"a/b":{"c":1}}}'
    knows = Client(capabilities=declared)
    await rig.send(authorized(DISCOUNT, client=knows))
    await rig.asked()
    await rig.send(granted(DISCOUNT, YES, client=knows))
    assert isinstance(await rig.end(), TaskSucceeded)
    told = {call.client.capabilities for call in curious.upstream.calls}
    assert told == {'{"elicitation":{},"extensions":{"a/b":{"c":1}}}'}


async def test_denied_input_ends_the_task_as_denied(opening: Opener) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await waiting(rig)
    denied = build.input_denied(in_round(DISCOUNT, 1, YES))
    await rig.send(denied, denied)
    end = await rig.end()
    assert isinstance(end, TaskDenied)
    assert (end.code, end.because, end.decision_id) == ("denied", denied.because, "decision-1")
    await rig.send(granted(DISCOUNT, YES, client=ASKS))
    await rig.bus.drain()
    assert await rig.end() == end
    assert len(curious.heard) == 1


async def test_a_cancel_ends_a_task_that_waits_at_once(opening: Opener) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await waiting(rig)
    await rig.send(build.cancel_requested(DISCOUNT))
    assert isinstance(await rig.end(), TaskCancelled)
    await rig.send(granted(DISCOUNT, YES, client=ASKS))
    await rig.bus.drain()
    assert len(curious.heard) == 1


async def test_the_deadline_ends_a_task_that_waits(opening: Opener) -> None:
    rig = opening(Curious().upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await waiting(rig)
    rig.clock.skip(hours=2)
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "expired"


async def test_word_of_the_deadline_ends_a_task_that_waits(opening: Opener) -> None:
    rig = opening(Curious().upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await waiting(rig)
    await rig.kill()
    rig.clock.skip(hours=2)
    expired = AuthorizationExpired(task=in_round(DISCOUNT, 1, YES))
    await rig.intake.expire(build.sent(expired, "policy"))
    await rig.ends.idle()
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "expired"


async def test_a_question_that_got_lost_is_told_after_a_restart(opening: Opener) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    rig.bus.away = True
    entry = build.sent(authorized(DISCOUNT, client=ASKS), "policy")
    await rig.intake.accept(entry)

    async def kept() -> bool:
        there = await rig.journal.find(("acme", DISCOUNT.id))
        return there is not None and there.state is State.WAITING

    while not await kept():
        pass
    await rig.kill()
    rig.bus.away = False
    assert rig.stated(TaskInputRequired) == []
    other = opening(curious.upstream)
    asked = await other.asked()
    assert asked.requests == REQUESTS
    await other.send(granted(DISCOUNT, YES, client=ASKS))
    assert isinstance(await other.end(), TaskSucceeded)
    raws = [raw for raw in rig.bus.published if isinstance(read(raw).body, TaskInputRequired)]
    assert len({raw.id for raw in raws}) == 1


async def test_another_process_makes_the_call_again(opening: Opener) -> None:
    curious = Curious()
    rig = opening(curious.upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await waiting(rig)
    await rig.stop()
    other = opening(curious.upstream)
    await other.send(granted(DISCOUNT, YES, client=ASKS))
    assert isinstance(await other.end(), TaskSucceeded)
    assert curious.heard == [(None, None), (YES, STATE)]


async def test_a_row_that_waits_is_shown_as_waiting(opening: Opener) -> None:
    rig = opening(Curious().upstream)
    await rig.send(authorized(DISCOUNT, client=ASKS))
    await waiting(rig)
    (page,) = await rig.journal.page("acme", State.WAITING, 10)
    assert (page.state, page.owner, json.loads(page.task.model_dump_json())["round"]) == (
        State.WAITING,
        None,
        0,
    )
