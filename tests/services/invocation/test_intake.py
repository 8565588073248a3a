"""What comes over the bus: believed or not, taken in once, stopped in every state."""

import pytest

from interlock.bus.wire import read
from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskFailed,
    TaskParked,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.requests import AuthorizationExpired, CallAuthorized, DeadlinePassed
from interlock.contracts.task import Task
from interlock.errors import Refused
from interlock.testing import build
from services.invocation.clients import (
    MemoryUpstream,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
)
from tests.services.invocation.rig import (
    RESULT,
    STRANGER,
    Opener,
    Rig,
    answering,
    authorized,
    task,
)
from tests.services.invocation.upstream import Slow

DISCOUNT = task(used="grant_discount")


async def parked(rig: Rig) -> TaskParked:
    await rig.until(lambda: bool(rig.stated(TaskParked)))
    (found,) = rig.stated(TaskParked)
    return found


async def test_an_authorized_call_runs_and_its_outcome_is_told(rig: Rig) -> None:
    (raw,) = await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded) and end.result == RESULT
    (told,) = [one for one in rig.bus.published if one.attributes["ce_type"] == end.type]
    assert told.attributes["ce_cause"] == raw.id


async def test_the_exact_bytes_of_the_arguments_reach_the_upstream(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    odd = '{ "b":1.0,\t"a":10000000000000000000001, "b2":"\\u00e9é" }'
    await rig.send(authorized(task(arguments=odd), odd))
    await rig.end()
    assert [call.arguments for call in upstream.calls] == [odd]


@pytest.mark.parametrize(
    "forged",
    [
        authorized(task(), signer=STRANGER),
        authorized(task()).model_copy(update={"task": task(used="grant_discount")}),
        authorized(task()).model_copy(update={"arguments": '{"query":"other"}'}),
        authorized(task()).model_copy(update={"task": task(principal=build.principal("other"))}),
        CallAuthorized(task=task(), arguments=build.ARGUMENTS, grant="not.a.grant"),
    ],
    ids=["signer", "tool", "arguments", "principal", "nonsense"],
)
async def test_a_forged_grant_is_parked_and_never_executed(
    opening: Opener, forged: CallAuthorized
) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    await rig.send(forged, authorized(task("honest")))
    assert isinstance(await rig.end("honest"), TaskSucceeded)
    assert (await parked(rig)).code == "forged"
    assert [call.task_id for call in upstream.calls] == ["honest"]
    assert await rig.journal.shown(("acme", task().id)) is None


async def test_the_same_task_with_another_request_is_forged(rig: Rig) -> None:
    await rig.send(authorized(task()))
    await rig.end()
    other = '{"query":"other"}'
    await rig.send(authorized(task(arguments=other), other))
    assert (await parked(rig)).code == "forged"
    await rig.end()


async def test_a_redelivery_states_the_same_end_and_calls_nobody(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    (raw,) = await rig.send(authorized(task()))
    await rig.end()
    before = len(rig.bus.published)
    await rig.bus.publish([raw, raw])
    await rig.bus.drain()
    again = [one for one in rig.bus.published[before:] if one.id != raw.id]
    assert {read(one).body for one in again} == {await rig.end()}
    assert len(upstream.calls) == 1


async def test_many_deliveries_to_many_processes_make_one_call(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rigs = [opening(upstream) for _ in range(3)]
    raws = await rigs[0].send(*(authorized(task(f"t{n}")) for n in range(20)))
    await rigs[0].bus.publish([*raws, *raws])
    for n in range(20):
        await rigs[0].end(f"t{n}")
    assert sorted(call.task_id or "" for call in upstream.calls) == sorted(
        f"t{n}" for n in range(20)
    )


async def test_a_task_past_its_deadline_ends_as_expired_and_stays_so(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    rig.clock.skip(hours=2)
    (raw,) = await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "expired"
    await rig.bus.publish([raw])
    await rig.bus.drain()
    await rig.end()
    assert upstream.calls == []


async def test_a_later_round_without_input_is_forged(rig: Rig) -> None:
    await rig.send(authorized(task(round=1)))
    assert (await parked(rig)).code == "forged"


# -- cancel ----------------------------------------------------------------------------------------


async def test_a_cancel_before_the_task_is_stated_when_the_task_arrives(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    await rig.send(build.cancel_requested(task()))
    await rig.bus.drain()
    assert rig.events() == []
    await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskCancelled) and end.by == build.person()
    assert upstream.calls == []


async def test_a_cancel_of_a_waiting_task_ends_it_at_once(opening: Opener) -> None:
    rig = opening(start=False)
    rig.worker.close()  # nothing is claimed
    rig.start()
    await rig.send(authorized(task()))
    await rig.bus.drain()
    await rig.send(build.cancel_requested(task()))
    assert isinstance(await rig.end(), TaskCancelled)


@pytest.mark.parametrize(
    ("of", "ends"), [(task(), TaskCancelled), (DISCOUNT, TaskUnknown)], ids=["repeatable", "once"]
)
async def test_a_cancel_of_a_running_call_ends_as_what_is_known(
    opening: Opener, of: Task, ends: type[object]
) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await rig.send(authorized(of))
    await slow.called()
    await rig.send(build.cancel_requested(of))
    end = await rig.end()
    assert isinstance(end, ends)
    if isinstance(end, TaskUnknown):
        assert end.code == "cancel_unconfirmed"
    assert not slow.answer.is_set()


async def test_a_cancel_reaches_a_call_in_another_process(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await rig.send(authorized(task()))
    await slow.called()
    other = opening(start=False)
    await other.intake.cancel(build.sent(build.cancel_requested(task())))
    end = await rig.end()
    assert isinstance(end, TaskCancelled)


async def test_a_cancel_after_the_end_changes_nothing(rig: Rig) -> None:
    await rig.send(authorized(task()))
    await rig.end()
    await rig.send(build.cancel_requested(task()))
    await rig.bus.drain()
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_a_task_that_waits_for_another_attempt_can_be_cancelled(opening: Opener) -> None:
    async def refusing(call: UpstreamCall) -> UpstreamAnswer:
        error = UpstreamError(Reach.NOT_SENT, "come back later")
        error.retry_after = 60.0
        raise error

    upstream = MemoryUpstream(refusing)
    rig = opening(upstream)
    await rig.send(authorized(task()))
    await rig.until(lambda: len(upstream.calls) == 1)
    await rig.send(build.cancel_requested(task()))
    end = await rig.end()
    assert isinstance(end, TaskCancelled)
    assert [attempt.outcome for attempt in end.attempts] == ["not_sent"]


# -- the deadline, as policy passes it on ----------------------------------------------------------


async def test_an_expired_authorization_ends_a_task_that_never_arrived(rig: Rig) -> None:
    rig.clock.skip(hours=2)
    await rig.send(AuthorizationExpired(task=task()))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "expired"
    await rig.send(authorized(task()))
    await rig.bus.drain()
    assert await rig.end() == end


async def test_an_expired_authorization_states_an_end_again(rig: Rig) -> None:
    await rig.send(authorized(task()))
    end = await rig.end()
    rig.clock.skip(hours=2)
    before = len(rig.bus.published)
    await rig.send(AuthorizationExpired(task=task()))
    await rig.bus.drain()
    (_, again) = rig.bus.published[before:]
    assert read(again).body == end


async def test_a_deadline_is_not_believed_before_it_passed(rig: Rig) -> None:
    with pytest.raises(Refused, match="before its deadline"):
        await rig.intake.expire(build.sent(AuthorizationExpired(task=task())))


async def test_a_passed_deadline_is_policys_to_pass_on(rig: Rig) -> None:
    rig.clock.skip(hours=2)
    await rig.send(DeadlinePassed(task=task()))
    await rig.bus.drain()
    assert rig.events() == []


async def test_what_nobody_claimed_ends_at_its_deadline(opening: Opener) -> None:
    rig = opening(start=False)
    rig.worker.close()
    rig.start()
    await rig.send(authorized(task()))
    await rig.bus.drain()
    rig.clock.skip(hours=2)
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "expired"
