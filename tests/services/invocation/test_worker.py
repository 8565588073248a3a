"""Execution: attempts, limits, what is looked at before a call, and a graceful stop."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from interlock.contracts.access import AgentRecord
from interlock.contracts.catalogue import (
    HttpConnection,
    Inspection,
    Lifecycle,
)
from interlock.contracts.outcomes import (
    TaskFailed,
    TaskProgressed,
    TaskStarted,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import PrincipalKind, TaskKind, request_digest
from interlock.errors import Refused
from interlock.state import AGENTS, CATALOGUE
from interlock.testing import build
from services.invocation.clients import (
    MemoryUpstream,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
)
from services.invocation.handlers.attempt import Attempts
from services.invocation.handlers.ends import OWN_SECONDS
from services.invocation.handlers.holding import Claim, Holding
from services.invocation.model import Call, How, Limits, State
from services.invocation.store import Entry, claimed_job
from tests.services.invocation.rig import (
    RESULT,
    Opener,
    answering,
    authorized,
    server,
    task,
    tool,
)
from tests.services.invocation.upstream import Slow, failing

DISCOUNT = task(used="grant_discount")


# -- attempts --------------------------------------------------------------------------------------


async def test_a_repeatable_call_is_tried_again_until_it_is_answered(opening: Opener) -> None:
    rig = opening(failing(Reach.LOST, 2))
    await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded)
    told = [(one.number, one.outcome, one.detail) for one in end.attempts]
    assert told == [(1, "lost", "failure 1"), (2, "lost", "failure 2"), (3, "answered", "")]
    await rig.until(lambda: len(rig.stated(TaskStarted)) == 3)
    assert sorted(one.attempt for one in rig.stated(TaskStarted)) == [1, 2, 3]


async def test_attempts_end_and_all_are_listed(opening: Opener) -> None:
    upstream = failing(Reach.NOT_SENT, 99)
    rig = opening(upstream)
    await rig.send(authorized(DISCOUNT))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "unreachable"
    assert [one.number for one in end.attempts] == [1, 2, 3, 4]
    assert len(upstream.calls) == 4
    waits = [later.started_at - one.started_at for one, later in pairwise(end.attempts)]
    assert all(wait >= timedelta(seconds=0.01) for wait in waits)


async def test_a_lost_call_that_may_not_be_repeated_is_made_once(opening: Opener) -> None:
    upstream = failing(Reach.LOST, 1)
    rig = opening(upstream)
    await rig.send(authorized(DISCOUNT))
    assert isinstance(await rig.end(), TaskUnknown)
    assert len(upstream.calls) == 1


async def test_an_error_of_the_upstream_is_passed_on(opening: Opener) -> None:
    rig = opening(failing(Reach.ANSWERED, 1, error='{"code":-32602,"message":"no"}'))
    await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskFailed)
    assert (end.code, end.error) == ("upstream_error", '{"code":-32602,"message":"no"}')


async def test_what_our_own_rules_forbid_fails_with_their_code(opening: Opener) -> None:
    async def refused(call: UpstreamCall) -> UpstreamAnswer:
        raise Refused("the address may not be dialled", code="address_not_allowed")

    rig = opening(MemoryUpstream(refused))
    await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "address_not_allowed"


async def test_a_client_with_a_bug_leaves_a_non_repeatable_call_unknown(opening: Opener) -> None:
    async def broken(call: UpstreamCall) -> UpstreamAnswer:
        raise KeyError("a bug")

    rig = opening(MemoryUpstream(broken))
    await rig.send(authorized(DISCOUNT))
    end = await rig.end()
    assert isinstance(end, TaskUnknown) and "KeyError" in end.reason


async def test_a_result_that_cannot_be_delivered_fails_clearly(opening: Opener) -> None:
    rig = opening(limits=Limits(result_bytes=10))
    await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "too_large"


async def test_progress_is_told_and_throttled(opening: Opener) -> None:
    async def chatty(call: UpstreamCall) -> UpstreamAnswer:
        assert call.on_progress is not None
        for step in range(100):
            await call.on_progress(step, 100, "on the way")
        return UpstreamAnswer(RESULT, is_error=False)

    rig = opening(MemoryUpstream(chatty))
    await rig.send(authorized(task()))
    await rig.end()
    (end,) = rig.stated(TaskSucceeded)
    told = [(one.attempt, one.seq, one.progress, one.total) for one in rig.stated(TaskProgressed)]
    steps = (0, 1, 2, 3, 4, 99)  # the very last, too, before the end that says how many there were
    assert sorted(told) == [(1, seq, step, 100) for seq, step in enumerate(steps, 1)]
    assert [one.told for one in end.attempts] == [len(steps)]


async def test_the_latest_progress_is_told_though_nothing_comes_after_it(opening: Opener) -> None:
    goes_on = asyncio.Event()

    async def silent(call: UpstreamCall) -> UpstreamAnswer:
        assert call.on_progress is not None
        for step in range(10):
            await call.on_progress(step, 100, "on the way")
        await goes_on.wait()
        return UpstreamAnswer(RESULT, is_error=False)

    rig = opening(MemoryUpstream(silent))
    await rig.send(authorized(task()))
    await rig.until(lambda: len(rig.stated(TaskProgressed)) >= 6)
    goes_on.set()
    await rig.end()
    assert sorted(one.progress or 0 for one in rig.stated(TaskProgressed)) == [0, 1, 2, 3, 4, 9]


async def test_the_trace_and_the_task_travel_to_the_upstream(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await rig.bus.publish([build.raw(authorized(task()), "policy", traceparent=parent)])
    await rig.end()
    (call,) = upstream.calls
    assert call.meta == {"traceparent": parent}
    assert call.task_id == task().id
    ends = [raw for raw in rig.bus.published if raw.attributes["ce_source"] == "invocation"]
    assert {raw.attributes["traceparent"] for raw in ends} == {parent}


async def test_an_inspection_is_a_task_like_any_other(opening: Opener) -> None:
    found = Inspection(protocol_version="2026-07-28", server_name="crm", tools=('{"name":"x"}',))
    rig = opening(MemoryUpstream(answering, {"new": found}))
    arguments = HttpConnection(url="http://new.example/mcp").model_dump_json()
    look = build.task(
        kind=TaskKind.INSPECT,
        server="new",
        tool=None,
        principal=build.principal("registry", PrincipalKind.SERVICE),
        request_digest=request_digest(TaskKind.INSPECT, "new", None, arguments),
    )
    await rig.send(authorized(look, arguments))
    end = await rig.end()
    assert isinstance(end, TaskSucceeded)
    assert Inspection.model_validate_json(end.result) == found


# -- published state -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "record"),
    [
        (CATALOGUE, "crm", server(lifecycle=Lifecycle.RETIRED)),
        (CATALOGUE, "crm", server(tools=())),
        (
            CATALOGUE,
            "crm",
            server(tools=(tool("search_opportunities", repeatable=True, definition='{"x":1}'),)),
        ),
        (CATALOGUE, "crm", None),
        (AGENTS, "sales-copilot", AgentRecord(tenant="acme", name="sales-copilot", enabled=False)),
    ],
    ids=["retired", "not offered", "changed", "removed", "disabled agent"],
)
async def test_what_changed_since_the_grant_is_stale(
    opening: Opener, kind: object, name: str, record: object
) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    rig.state.publish(kind, "acme", name, record)  # type: ignore[arg-type]  # pairs that fit
    await rig.reader.load()
    await rig.send(authorized(task()))
    end = await rig.end()
    assert isinstance(end, TaskFailed) and end.code == "stale"
    assert upstream.calls == []


async def test_a_no_is_final_only_after_the_newest_state_was_seen(opening: Opener) -> None:
    rig = opening(start=False)
    rig.state.publish(CATALOGUE, "acme", "crm", None)
    await rig.reader.load()
    rig.state.publish(CATALOGUE, "acme", "crm", server())
    assert await rig.intake.accept(build.sent(authorized(task()), "policy")) == []
    worker = asyncio.create_task(rig.worker.run())
    assert isinstance(await rig.end(), TaskSucceeded)
    worker.cancel()


async def test_nothing_is_claimed_while_published_state_is_stale(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream, start=False)
    await rig.intake.accept(build.sent(authorized(task()), "policy"))
    worker = asyncio.create_task(rig.worker.run())
    await asyncio.sleep(0.05)
    assert upstream.calls == [] and not rig.around.published.fresh
    await rig.reader.load()
    assert isinstance(await rig.end(), TaskSucceeded)
    worker.cancel()


# -- limits ----------------------------------------------------------------------------------------


async def test_a_slow_server_leaves_room_for_others(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream, limits=Limits(total=8, per_server=3))
    rig.state.publish(CATALOGUE, "acme", "mail", server("mail"))
    await rig.send(*(authorized(task(f"crm-{n}")) for n in range(10)))
    await slow.called(3)
    await rig.send(*(authorized(task(f"mail-{n}", on="mail")) for n in range(4)))
    await slow.called(6)
    await rig.bus.drain()
    assert slow.running == 6
    slow.answer.set()
    for n in range(10):
        await rig.end(f"crm-{n}")
    for n in range(4):
        await rig.end(f"mail-{n}")
    assert slow.most == 6


async def test_an_overload_of_one_server_hides_no_work_for_another(opening: Opener) -> None:
    """What another process left is found however busy this one is."""
    rig = opening()
    rig.state.publish(CATALOGUE, "acme", "erp", server("erp"))
    await rig.send(authorized(task("first")))
    await rig.end("first")  # by now it has looked everywhere
    gone = opening(start=False)
    gone.worker.close()

    async def overload() -> None:
        while True:
            rig.worker.room.expect(("acme", "crm"))
            await asyncio.sleep(0.01)

    busy = asyncio.create_task(overload())
    await gone.intake.accept(build.sent(authorized(task(on="erp")), "policy"))
    assert isinstance(await rig.end(), TaskSucceeded)
    busy.cancel()


async def test_no_more_calls_run_than_the_process_may_make(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream, limits=Limits(total=2, per_server=32))
    await rig.send(*(authorized(task(f"t{n}")) for n in range(6)))
    await slow.called(2)
    await rig.bus.drain()
    slow.answer.set()
    for n in range(6):
        await rig.end(f"t{n}")
    assert slow.most == 2


async def test_tasks_in_flight_share_their_commits(opening: Opener) -> None:
    rig = opening()
    await rig.until(lambda: rig.around.published.fresh)
    transactions = 0
    run = rig.database.run

    async def counted(work: object) -> object:
        nonlocal transactions
        transactions += 1
        return await run(work)  # type: ignore[arg-type]  # as it came

    rig.database.run = counted  # type: ignore[method-assign, assignment]  # the real one, counted
    await rig.send(*(authorized(task(f"t{n}")) for n in range(32)))
    for n in range(32):
        await rig.end(f"t{n}")
    assert transactions < 16


# -- stopping --------------------------------------------------------------------------------------


async def test_a_stop_lets_calls_in_hand_end(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await rig.send(authorized(DISCOUNT))
    await slow.called()
    stopping = asyncio.create_task(rig.stop())
    await asyncio.sleep(0)
    slow.answer.set()
    await stopping
    assert isinstance(await rig.end(), TaskSucceeded)


async def test_a_stop_that_cannot_wait_gives_back_what_may_be_repeated(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await rig.send(authorized(task()), authorized(task("once", used="grant_discount")))
    await slow.called(2)
    await rig.stop(drain=0.05)
    assert isinstance(await rig.end("once"), TaskUnknown)
    shown = await rig.journal.shown(("acme", task().id))
    assert shown is not None and shown[0].state is State.READY
    assert await rig.journal.leases() == {}
    other = opening()
    end = await other.end()
    assert isinstance(end, TaskSucceeded)
    assert [one.outcome for one in end.attempts] == ["lost", "answered"]


async def test_a_call_that_is_stopped_before_its_first_step_was_not_made(opening: Opener) -> None:
    rig = opening(start=False)
    entry = Entry(DISCOUNT, rig.clock(), build.ARGUMENTS, owner=rig.owner)
    holding = Holding(claimed_job(entry), Claim(asyncio.get_running_loop().time()))
    call = Call(server().connection, 5.0, repeatable=False)
    made = asyncio.create_task(Attempts(rig.around, rig.ends, rig.worker.room).make(holding, call))
    await asyncio.sleep(0)
    holding.stop(None)
    tried, _ = await made
    assert (tried.how, tried.detail) == (How.NOT_SENT, "the service was stopped before it was made")


async def test_nothing_is_claimed_after_a_stop_began(opening: Opener) -> None:
    upstream = MemoryUpstream(answering)
    rig = opening(upstream)
    rig.worker.close()
    await rig.send(authorized(task()))
    await rig.bus.drain()
    shown = await rig.journal.shown(("acme", task().id))
    assert shown is not None and shown[0].state is State.READY
    assert upstream.calls == []


# -- telling ---------------------------------------------------------------------------------------


async def test_what_could_not_be_told_is_told_once_the_bus_is_back(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await rig.send(authorized(task()))
    await slow.called()
    await rig.bus.drain()
    rig.bus.away = True
    slow.answer.set()
    await rig.until(lambda: not rig.worker.busy)
    assert rig.stated(TaskSucceeded) == []
    rig.bus.away = False
    rig.clock.skip(seconds=10)
    assert isinstance(await rig.end(), TaskSucceeded)
    await rig.stop()
    assert await rig.journal.unpublished(rig.clock(), 10) == []


async def test_a_restart_tells_what_the_last_process_could_not(opening: Opener) -> None:
    slow = Slow()
    rig = opening(slow.upstream)
    await rig.send(authorized(task()))
    await slow.called()
    await rig.bus.drain()
    rig.bus.away = True
    slow.answer.set()
    await rig.stop()
    assert rig.stated(TaskSucceeded) == []
    rig.bus.away = False
    began = rig.clock()
    assert isinstance(await opening().end(), TaskSucceeded)
    assert rig.clock() - began < timedelta(seconds=OWN_SECONDS), "a start waits for nobody"
