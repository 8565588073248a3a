"""Approvals: by another person, of exactly this task, judged again, once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interlock.bus.wire import read
from interlock.contracts.outcomes import TaskApproved, TaskDenied, TaskHeld
from interlock.contracts.requests import CallAuthorized
from interlock.contracts.task import PrincipalKind, Task
from interlock.errors import Refused
from interlock.identity.statements import verify_grant
from interlock.state import CATALOGUE
from interlock.testing import build
from services.policy.handlers.approvals import Reply
from services.policy.model import State
from tests.interlock.policy.build import READ, server
from tests.services.policy.world import (
    BIG,
    HOLD_BIG,
    MANAGER,
    SMALL,
    TRUST,
    World,
    asked,
    caller,
    task,
    types,
)

HELD = task(arguments=BIG)
BOSS = caller(MANAGER, "sales-manager")
FORBID = '@id("closed") forbid (principal, action, resource);'


async def hold(world: World, of: Task = HELD) -> None:
    assert types(await world.tasks.judge(asked(of, BIG))) == ["held"]


def reply(of: Task = HELD, **said: Any) -> Reply:
    return Reply(of.id, MANAGER, **said)


async def test_an_approved_task_runs_with_a_grant_that_names_the_approval(world: World) -> None:
    await hold(world)
    world.after(minutes=3)
    row = await world.approvals.approve(BOSS, reply(reason="quarter's end"))
    assert row.state is State.AUTHORIZED
    sent = {type(fact): fact for fact in (read(raw).body for raw in await world.sent())}
    approved, authorized = sent[TaskApproved], sent[CallAuthorized]
    assert isinstance(approved, TaskApproved)
    assert isinstance(authorized, CallAuthorized)
    assert (approved.by, approved.reason) == (MANAGER, "quarter's end")
    assert (approved.held_under, approved.approved_under) == (2, 2)
    assert authorized.arguments == BIG
    assert verify_grant(TRUST, authorized.grant, HELD).approval_id == approved.approval_id
    (approval,) = await world.decisions.approvals("acme", HELD.id)
    assert (approval.id, approval.answer) == (approved.approval_id, "approved")
    assert approval.request_digest == HELD.request_digest


async def test_what_an_approval_states_is_caused_by_the_hold(world: World) -> None:
    await hold(world)
    held = (await world.row(HELD)).facts[0]
    await world.approvals.approve(BOSS, reply())
    assert {raw.attributes["ce_cause"] for raw in await world.sent()} == {held.id}
    assert types(await world.tasks.judge(asked(HELD, BIG))) == ["held"]


async def test_a_refused_task_is_denied_and_says_by_whom(world: World) -> None:
    await hold(world)
    row = await world.approvals.refuse(BOSS, reply(reason="not this customer"))
    assert row.state is State.DENIED
    (raw,) = await world.sent()
    denied = read(raw).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.by, denied.reason) == ("refused", MANAGER, "not this customer")
    (approval,) = await world.decisions.approvals("acme", HELD.id)
    assert approval.answer == "refused"


async def test_a_hold_is_answered_once(world: World) -> None:
    await hold(world)
    other = await world.replica()
    answers = await asyncio.gather(
        world.approvals.approve(BOSS, reply()),
        other.approvals.refuse(BOSS, reply()),
        other.approvals.approve(BOSS, reply()),
        return_exceptions=True,
    )
    late = [one for one in answers if isinstance(one, Refused)]
    assert [one.code for one in late] == ["conflict", "conflict"]
    assert types(await world.sent()) in (["denied"], ["approved", "authorized"])
    with pytest.raises(Refused, match="nothing to answer"):
        await world.approvals.approve(BOSS, reply())
    assert len(await world.decisions.approvals("acme", HELD.id)) == 1


async def test_approval_and_cancel_at_once_leave_one_end(world: World) -> None:
    other = await world.replica()
    for n in range(10):
        wanted = task(f"task-{n}", BIG)
        await hold(world, wanted)
        await asyncio.gather(
            world.approvals.approve(BOSS, reply(wanted)),
            other.tasks.cancel(build.sent(build.cancel_requested(wanted))),
            return_exceptions=True,
        )
        row = await world.row(wanted)
        stated = types(row.later)
        assert (
            stated
            == {
                State.AUTHORIZED: ["approved", "authorized"],
                State.CANCELLED: ["cancelled"],
            }[row.state]
        )


# -- judged again ---------------------------------------------------------------------------------


async def test_deny_wins_over_an_approval(world: World) -> None:
    await hold(world)
    await world.rulebook.put("acme", "closed", FORBID, build.person())
    row = await world.approvals.approve(BOSS, reply())
    assert (row.state, row.because) == (State.DENIED, ("closed",))
    (raw,) = await world.sent()
    denied = read(raw).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.policy_version) == ("denied", 3)
    (approval,) = await world.decisions.approvals("acme", HELD.id)
    assert (approval.answer, approval.held_under, approval.judged_under) == ("denied", 2, 3)


async def test_an_approval_counts_where_the_policy_allows_by_now(world: World) -> None:
    await hold(world)
    await world.rulebook.delete("acme", "exports", build.person())
    row = await world.approvals.approve(BOSS, reply())
    assert (row.state, row.policy_version) == (State.AUTHORIZED, 3)
    approved = read((await world.sent())[0]).body
    assert isinstance(approved, TaskApproved | CallAuthorized)


async def test_another_hold_voids_the_approval(world: World) -> None:
    await hold(world)
    await world.rulebook.permit("sales-copilot", (READ,), ("crm:export",), build.person())
    world.after(minutes=10)
    row = await world.approvals.approve(BOSS, reply())
    assert (row.state, row.revision) == (State.HELD, 1)
    assert row.because == ("big-export", "builtin/scopes-with-approval")
    held = read((await world.sent())[0]).body
    assert isinstance(held, TaskHeld)
    assert held.expires_at == world.now + timedelta(minutes=15)
    assert types(await world.sent()) == ["held"]
    row = await world.approvals.approve(BOSS, reply())
    assert row.state is State.AUTHORIZED
    answers = [one.answer for one in await world.decisions.approvals("acme", HELD.id)]
    assert sorted(answers) == ["approved", "voided"]
    assert len({one.id for one in await world.sent()}) == 3


async def test_other_approvers_are_another_hold(twin: World) -> None:
    await hold(twin)
    stricter = HOLD_BIG.replace("sales-manager", "cfo")
    await twin.rulebook.put("acme", "exports", stricter, build.person())
    assert (await twin.approvals.approve(BOSS, reply())).approvers == ("cfo",)
    with pytest.raises(Refused, match="needs one of the roles `cfo`"):
        await twin.approvals.approve(BOSS, reply())


async def test_a_tool_that_is_gone_is_denied_in_spite_of_an_approval(twin: World) -> None:
    await hold(twin)
    twin.state.publish(CATALOGUE, "acme", "crm", None)
    row = await twin.approvals.approve(BOSS, reply())
    assert (row.state, row.code) == (State.DENIED, "not_offered")


async def test_roles_groups_and_token_of_the_request_are_kept_for_the_second_judgement(
    world: World,
) -> None:
    rule = """forbid (principal, action, resource) unless {
        principal.roles.contains("r") && principal.groups.contains("g")
        && context.tokenScopes.contains("s") };"""
    await world.rulebook.put("acme", "token", rule, build.person())
    event = asked(HELD, BIG, roles=("r",), groups=("g",), token_scopes=("s",))
    assert types(await world.tasks.judge(event)) == ["held"]
    assert (await world.approvals.approve(BOSS, reply())).state is State.AUTHORIZED


# -- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "roles", "why"),
    [
        (build.person("ana"), ("sales-manager",), "somebody else must answer it"),
        (build.person("sales-copilot"), ("sales-manager",), "somebody else must answer it"),
        (build.principal("other-agent", user="maria"), ("sales-manager",), "is no person"),
        (build.principal("policy", PrincipalKind.SERVICE), ("sales-manager",), "is no person"),
        (MANAGER, ("approver", "admin"), "needs one of the roles `sales-manager`"),
        (MANAGER, (), "needs one of the roles `sales-manager`"),
    ],
)
async def test_who_may_not_answer(twin: World, who: Any, roles: tuple[str, ...], why: str) -> None:
    of = HELD.model_copy(update={"principal": build.principal(user="ana")})
    await hold(twin, of)
    for answer in (twin.approvals.approve, twin.approvals.refuse):
        with pytest.raises(Refused, match=why) as refused:
            await answer(caller(who, *roles), Reply(of.id, who))
        assert refused.value.code == "forbidden"
    assert (await twin.row(of)).state is State.HELD


@pytest.mark.parametrize(("role", "may"), [("approver", True), ("admin", True), ("owner", False)])
async def test_a_rule_without_approvers_takes_any_approver(
    twin: World, role: str, may: bool
) -> None:
    await twin.rulebook.permit("sales-copilot", (READ,), ("crm:export",), build.person())
    wanted = task(arguments=SMALL)
    await twin.tasks.judge(asked(wanted))
    if may:
        row = await twin.approvals.approve(caller(MANAGER, role), reply(wanted))
        assert row.state is State.AUTHORIZED
    else:
        with pytest.raises(Refused, match="one of the roles `approver`"):
            await twin.approvals.approve(caller(MANAGER, role), reply(wanted))


# -- of what --------------------------------------------------------------------------------------


@pytest.mark.promise("approvals")
async def test_an_approval_is_for_the_request_that_was_looked_at(twin: World) -> None:
    await hold(twin)
    with pytest.raises(Refused, match="look at it again") as refused:
        await twin.approvals.approve(BOSS, reply(digest=task().request_digest))
    assert refused.value.code == "conflict"
    row = await twin.approvals.approve(BOSS, reply(digest=HELD.request_digest))
    assert row.state is State.AUTHORIZED


async def test_another_tenants_task_is_not_there(world: World) -> None:
    await hold(world)
    stranger = build.person("maria", tenant="other")
    with pytest.raises(Refused, match="knows no task") as refused:
        await world.approvals.approve(caller(stranger, "sales-manager"), Reply(HELD.id, stranger))
    assert refused.value.code == "not_found"
    assert await world.approvals.held("other") == []


async def test_nobody_answers_after_the_time(world: World) -> None:
    await hold(world)
    world.after(minutes=15)
    assert await world.approvals.held("acme") == []
    with pytest.raises(Refused, match="is `denied` \\(`lapsed`\\)"):
        await world.approvals.approve(BOSS, reply())
    assert types(await world.sent()) == ["denied"]


async def test_what_waits_is_listed_with_its_exact_arguments_the_most_urgent_first(
    world: World,
) -> None:
    odd = '{"rows":20000,"b" : "\\u00e9" }'
    later, sooner = task("task-1", BIG), task("task-2", odd)
    await world.tasks.judge(asked(later, BIG))
    soon = sooner.model_copy(update={"deadline": later.deadline.replace(minute=5, hour=12)})
    await world.tasks.judge(asked(soon, odd))
    held = await world.approvals.held("acme")
    assert [row.task.id for row in held] == ["task-2", "task-1"]
    assert [row.ask.arguments for row in held if row.ask] == [odd, BIG]


async def test_an_approved_server_is_needed_at_the_approval_too(twin: World) -> None:
    await hold(twin)
    twin.state.publish(CATALOGUE, "acme", "crm", server(lifecycle="retired"))
    assert (await twin.approvals.approve(BOSS, reply())).state is State.DENIED
