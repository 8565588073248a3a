"""What becomes of work whose process is gone, or only thought to be."""

import asyncio
from dataclasses import replace

import pytest

from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskFailed,
    TaskSettled,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Task
from interlock.testing import build
from services.invocation.clients import MemoryUpstream, UpstreamCall
from services.invocation.handlers import Watching
from services.invocation.handlers.holding import Claim
from services.invocation.model import Lease, State
from services.invocation.store import Wanted
from tests.services.invocation.rig import RESULT, Opener, Rig, authorized, task
from tests.services.invocation.upstream import Slow

DISCOUNT = task(used="grant_discount")


async def called(rig: Rig, slow: Slow, *of: Task) -> None:
    """The tasks' calls are under way in `rig`."""
    await rig.send(*(authorized(one) for one in of))
    await slow.called(len(of))


async def abandoned(opening: Opener, *of: Task) -> tuple[Rig, Slow]:
    """A process that shows no more life, with calls in hand that it will still hear of."""
    slow = Slow()
    rig = opening(slow.upstream)
    await called(rig, slow, *of)
    await rig.kill()
    return rig, slow


async def test_a_repeatable_call_of_a_dead_process_is_made_again(opening: Opener) -> None:
    await abandoned(opening, task())
    other = opening()
    end = await other.end()
    assert isinstance(end, TaskSucceeded)
    assert [(one.number, one.outcome) for one in end.attempts] == [(1, "lost"), (2, "answered")]


async def test_a_call_of_a_dead_process_that_may_not_be_repeated_is_unknown(
    opening: Opener,
) -> None:
    _, slow = await abandoned(opening, DISCOUNT)
    other = opening(slow.upstream)
    assert isinstance(await other.end(), TaskUnknown)
    assert len(slow.upstream.calls) == 1


async def test_a_process_that_shows_life_keeps_its_leases(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await called(rig, slow, DISCOUNT)
    other = opening()
    beats = 0
    while beats < 6:  # more than twice the lease's time
        await asyncio.sleep(0.05)
        beats = max((beat or 0 for beat in (await other.journal.leases()).values()), default=0)
    slow.answer.set()
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_a_cancel_outlives_the_process_that_should_have_heard_it(opening: Opener) -> None:
    once = task("once", used="grant_discount")
    await abandoned(opening, task(), once)
    other = opening()
    await other.send(build.cancel_requested(task()), build.cancel_requested(once))
    assert isinstance(await other.end(), TaskCancelled)
    assert isinstance(await other.end("once"), TaskUnknown)


async def test_the_last_attempt_of_a_dead_process_ends_the_task(opening: Opener) -> None:
    rig, _ = await abandoned(opening, task())
    other = opening(limits=replace(rig.limits, attempts=1))
    end = await other.end()
    assert isinstance(end, TaskFailed) and end.code == "unreachable"


async def test_a_late_answer_settles_what_was_given_up(opening: Opener) -> None:
    _, slow = await abandoned(opening, DISCOUNT)
    other = opening()
    unknown = await other.end()
    assert isinstance(unknown, TaskUnknown)
    slow.answer.set()
    await other.until(lambda: bool(other.stated(TaskSettled)))
    (settled,) = other.stated(TaskSettled)
    assert (settled.outcome, settled.result) == ("succeeded", RESULT)
    assert settled.by.name == "invocation"
    assert await other.end() == unknown


async def test_a_late_answer_of_a_repeated_call_changes_nothing(opening: Opener) -> None:
    gone, slow = await abandoned(opening, task())
    other = opening()
    end = await other.end()
    slow.answer.set()
    await other.until(lambda: slow.running == 0)
    await gone.ends.idle()
    assert await other.end() == end
    assert other.stated(TaskSettled) == []


async def test_whoever_lost_its_lease_before_the_call_does_not_call(opening: Opener) -> None:
    """As after a pause of the whole process between its claim and its call."""
    slow = Slow()
    rig = opening(slow.upstream, start=False)
    await rig.reader.load()
    rig.worker.close()  # accepted, not claimed
    await rig.intake.accept(build.sent(authorized(DISCOUNT), "policy"))
    (job,) = (await rig.journal.claim(Wanted(rig.owner, 1, {}, 1, rig.clock()))).jobs
    other = opening()
    assert isinstance(await other.end(), TaskUnknown)
    paused = asyncio.get_running_loop().time() - rig.limits.lease_seconds
    rig.worker.room.fill(job.upstream)
    rig.worker.start(job, Claim(paused))
    await rig.until(lambda: not rig.worker.holds(job.lease))
    assert slow.upstream.calls == []


async def test_a_claim_whose_answer_was_lost_is_given_back_unused(opening: Opener) -> None:
    """It was never begun, so not even a call that may not be repeated is given up."""
    rig = opening(start=False)
    await rig.reader.load()
    rig.worker.close()
    await rig.intake.accept(build.sent(authorized(DISCOUNT), "policy"))
    await rig.journal.claim(Wanted(rig.owner, 1, {}, 1, rig.clock()))
    again = opening(owner=rig.owner)
    end = await again.end()
    assert isinstance(end, TaskSucceeded)
    assert [one.number for one in end.attempts] == [1]


async def test_a_stop_gives_back_claims_whose_answer_was_lost(opening: Opener) -> None:
    rig = opening(start=False)
    await rig.reader.load()
    rig.worker.close()
    await rig.intake.accept(build.sent(authorized(DISCOUNT), "policy"))
    await rig.journal.claim(Wanted(rig.owner, 1, {}, 1, rig.clock()))
    await rig.worker.drain(0.0)
    shown = await rig.journal.shown(("acme", task().id))
    assert shown is not None
    assert (shown[0].state, shown[0].attempt) == (State.READY, 0)


async def test_a_cancel_ends_a_claim_whose_answer_was_lost(opening: Opener) -> None:
    """The call was not made, so there is nothing that anybody could not know."""
    rig = await claimed_and_cancelled(opening)
    again = opening(owner=rig.owner)
    assert isinstance(await again.end(), TaskCancelled)
    assert calls(again) == []


async def test_a_stop_ends_what_was_cancelled_and_not_begun(opening: Opener) -> None:
    rig = await claimed_and_cancelled(opening)
    await rig.worker.drain(0.0)
    assert isinstance(await rig.end(), TaskCancelled)
    assert calls(rig) == []


async def claimed_and_cancelled(opening: Opener) -> Rig:
    """A process whose database has a claim of it that it does not know of, and a cancel."""
    rig = opening(start=False)
    await rig.reader.load()
    rig.worker.close()
    await rig.intake.accept(build.sent(authorized(DISCOUNT), "policy"))
    await rig.journal.claim(Wanted(rig.owner, 1, {}, 1, rig.clock()))
    await rig.intake.cancel(build.sent(build.cancel_requested(DISCOUNT), "gateway"))
    return rig


def calls(rig: Rig) -> list[UpstreamCall]:
    assert isinstance(rig.upstream, MemoryUpstream)
    return rig.upstream.calls


async def test_what_kept_an_observer_from_looking_is_no_proof_of_death(opening: Opener) -> None:
    """After an outage of the database whoever looks first would find that nobody had moved."""
    await abandoned(opening, DISCOUNT)
    other, moment = opening(start=False), 0.0
    await other.reader.load()
    watching = Watching(other.around, other.ends, other.worker, lambda: moment)
    await watching.leases()
    moment = 60.0
    await watching.leases()
    await other.ends.idle()
    assert other.stated(TaskUnknown) == []
    while not other.stated(TaskUnknown):
        moment += 0.1
        assert moment < 61.0
        await watching.leases()
        await other.ends.idle()


@pytest.mark.parametrize("many", [40])
async def test_one_call_each_however_many_processes_take_over(opening: Opener, many: int) -> None:
    tasks = [task(f"t{n}", used="grant_discount") for n in range(many)]
    await abandoned(opening, *tasks[:20])
    slow = Slow()
    slow.answer.set()
    others = [opening(slow.upstream) for _ in range(3)]
    await others[0].send(*(authorized(one) for one in tasks[20:]))
    for n in range(20):
        assert isinstance(await others[0].end(f"t{n}"), TaskUnknown)
    for n in range(20, many):
        assert isinstance(await others[0].end(f"t{n}"), TaskSucceeded)
    assert sorted(call.task_id or "" for call in slow.upstream.calls) == sorted(
        one.id for one in tasks[20:]
    )


async def test_a_lease_of_nobody_we_know_is_left_to_time(opening: Opener) -> None:
    rig = opening()
    assert await rig.journal.leased(Lease("acme", task().id, "nobody", 1)) is None
