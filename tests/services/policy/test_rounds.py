"""Input given to a task is judged like its request, together with it."""

from datetime import timedelta

import pytest

from interlock.bus.wire import read
from interlock.contracts.outcomes import TaskDenied, TaskHeld
from interlock.contracts.requests import (
    AuthorizationExpired,
    CallAuthorized,
    DeadlinePassed,
    InputDenied,
)
from interlock.contracts.task import Client
from interlock.errors import Early, Forged
from interlock.identity.statements import verify_grant
from interlock.testing import build
from services.policy.handlers.approvals import Reply
from services.policy.model import State
from tests.services.policy.test_tasks import only
from tests.services.policy.world import (
    BIG,
    MANAGER,
    NOON,
    SMALL,
    TRUST,
    YES,
    World,
    answered,
    asked,
    caller,
    task,
    types,
)

NO = '{"sure":{"action":"decline"}}'
MANY = '{"sure":{"action":"accept","content":{"rows":50000}}}'
READ_INPUT = """
@id("sure") @reason("who declines, declines")
forbid (principal, action == Action::"call", resource)
when { context has input && context.input has sure && context.input.sure has action
  && context.input.sure.action == "decline" };
@id("many") @reason("that many need a manager") @approvers("sales-manager") @expires("15m")
forbid (principal, action == Action::"call", resource)
when { context has input && context.input has sure && context.input.sure has content
  && context.input.sure.content has rows && context.input.sure.content.rows > 10000 }
unless { context.approved };
"""
ASKS = Client(capabilities='{"elicitation":{}}', log_level="info")


async def reading(world: World) -> World:
    """Policies that read what is given."""
    await world.rulebook.put("acme", "input", READ_INPUT, build.person())
    return world


async def test_input_that_no_rule_forbids_is_granted_for_its_round(world: World) -> None:
    await (await reading(world)).tasks.judge(asked())
    event = answered(client=ASKS)
    authorized = only(await world.tasks.judge(event)).body
    assert isinstance(authorized, CallAuthorized)
    assert (authorized.arguments, authorized.given) == (SMALL, YES)
    assert authorized.client == ASKS
    assert verify_grant(TRUST, authorized.grant, event.body.task).task.round == 1


async def test_denied_input_is_told_to_the_tasks_authority_which_ends_it(world: World) -> None:
    await (await reading(world)).tasks.judge(asked())
    denied = only(await world.tasks.judge(answered(NO)))
    assert isinstance(denied.body, InputDenied)
    assert (denied.body.because, denied.body.reason) == (("sure",), "who declines, declines")
    assert denied.raw.topic == "task.authorized.call"


async def test_held_input_waits_for_a_person_and_is_granted_with_what_it_brought(
    world: World,
) -> None:
    await (await reading(world)).tasks.judge(asked())
    held = only(await world.tasks.judge(answered(MANY, client=ASKS))).body
    assert isinstance(held, TaskHeld)
    assert (held.task.round, held.because) == (1, ("many",))
    reply = Reply(task().id, MANAGER)
    row = await world.approvals.approve(caller(MANAGER, "sales-manager"), reply)
    assert (row.state, row.task.round) == (State.AUTHORIZED, 1)
    sent = [read(raw).body for raw in await world.sent()]
    assert sorted(types(sent)) == ["approved", "authorized"]
    (granted,) = [fact for fact in sent if isinstance(fact, CallAuthorized)]
    assert (granted.given, granted.client) == (MANY, ASKS)


async def test_refused_input_ends_by_the_tasks_authority_too(world: World) -> None:
    await (await reading(world)).tasks.judge(asked())
    await world.tasks.judge(answered(MANY))
    await world.approvals.refuse(caller(MANAGER, "sales-manager"), Reply(task().id, MANAGER))
    (refused,) = (read(raw).body for raw in await world.sent())
    assert isinstance(refused, InputDenied)
    assert (refused.code, refused.by) == ("refused", MANAGER)


async def test_held_input_that_nobody_approves_lapses(world: World) -> None:
    await (await reading(world)).tasks.judge(asked())
    await world.tasks.judge(answered(MANY))
    world.after(minutes=16)
    await world.tasks.sweep()
    (lapsed,) = (read(raw).body for raw in await world.sent())
    assert isinstance(lapsed, InputDenied)
    assert lapsed.code == "lapsed"


async def test_input_of_an_approved_task_is_judged_under_its_approval(world: World) -> None:
    await (await reading(world)).tasks.judge(asked(arguments=BIG))
    reply = Reply(task().id, MANAGER)
    await world.approvals.approve(caller(MANAGER, "sales-manager"), reply)
    (approval,) = await world.decisions.approvals("acme", task().id)
    event = answered(MANY, BIG)
    authorized = only(await world.tasks.judge(event)).body
    assert isinstance(authorized, CallAuthorized)
    grant = verify_grant(TRUST, authorized.grant, event.body.task)
    assert grant.approval_id == approval.id
    denied = only(await world.tasks.judge(answered(NO, BIG, 2))).body
    assert isinstance(denied, InputDenied)


async def test_a_redelivered_round_gets_its_first_facts(world: World) -> None:
    await world.tasks.judge(asked())
    first = await world.tasks.judge(answered())
    await reading(world)
    assert await world.tasks.judge(answered()) == first
    with pytest.raises(Forged):
        await world.tasks.judge(answered(NO))


async def test_a_round_before_the_one_before_it_is_neither_believed_nor_lost(world: World) -> None:
    with pytest.raises(Early):
        await world.tasks.judge(answered())
    await world.tasks.judge(asked())
    with pytest.raises(Early):
        await world.tasks.judge(answered(number=2))
    assert types(await world.tasks.judge(answered())) == ["authorized"]
    assert types(await world.tasks.judge(answered(number=2))) == ["authorized"]


async def test_a_round_of_a_held_request_is_too_early(world: World) -> None:
    await world.tasks.judge(asked(arguments=BIG))
    with pytest.raises(Early):
        await world.tasks.judge(answered(arguments=BIG))


async def test_a_round_of_another_request_is_forged(world: World) -> None:
    await world.tasks.judge(asked())
    with pytest.raises(Forged):
        await world.tasks.judge(answered(arguments=BIG))


async def test_a_round_of_a_task_that_was_denied_states_that_end_again(world: World) -> None:
    await world.rulebook.permit("sales-copilot", (), (), build.person())
    denied = await world.tasks.judge(asked())
    assert await world.tasks.judge(answered()) == denied
    assert isinstance(only(denied).body, TaskDenied)


async def test_a_cancel_lets_held_input_go_and_leaves_the_end_to_others(world: World) -> None:
    await (await reading(world)).tasks.judge(asked())
    await world.tasks.judge(answered(MANY))
    cancel = build.sent(build.cancel_requested(task()), "gateway")
    assert await world.tasks.cancel(cancel) == ()
    assert await world.sent() == []
    rows = await world.decisions.of("acme", task().id)
    assert [row.state for row in rows] == [State.AUTHORIZED, State.CANCELLED]


async def test_a_cancel_that_comes_before_the_input_keeps_it_from_being_granted(
    world: World,
) -> None:
    await world.tasks.judge(asked())
    event = answered()
    await world.tasks.cancel(build.sent(build.cancel_requested(event.body.task), "gateway"))
    assert await world.tasks.judge(event) == ()


async def test_input_after_the_deadline_is_left_to_the_tasks_authority(world: World) -> None:
    await world.tasks.judge(asked())
    world.now = NOON + timedelta(hours=2)
    event = answered()
    assert isinstance(only(await world.tasks.judge(event)).body, AuthorizationExpired)
    passed = build.sent(DeadlinePassed(task=event.body.task), "gateway")
    assert isinstance(only(await world.tasks.expire(passed)).body, AuthorizationExpired)
