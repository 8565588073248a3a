"""A task is decided once, whatever is redelivered, reordered or changed meanwhile."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interlock.bus import Effects, Envelope, Group, MemoryBus, Raw
from interlock.bus.wire import read
from interlock.contracts.catalogue import Lifecycle
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskHeld,
)
from interlock.contracts.requests import (
    AuthorizationExpired,
    CallAuthorized,
    CancelRequested,
    DeadlinePassed,
)
from interlock.contracts.task import PrincipalKind, TaskKind
from interlock.errors import Forged, Unavailable
from interlock.identity.statements import verify_grant
from interlock.state import CATALOGUE, POLICY
from interlock.testing import build
from services.policy.model import State
from tests.interlock.policy.build import server, tool
from tests.services.policy.world import (
    BIG,
    NOON,
    SMALL,
    TRUST,
    World,
    asked,
    task,
    types,
)


def only(effects: Effects) -> Envelope[Fact]:
    """The one fact of `effects`, read back."""
    (raw,) = effects
    assert isinstance(raw, Raw)
    return read(raw)


async def test_a_permitted_call_is_authorized_with_a_grant_for_exactly_it(world: World) -> None:
    event = asked()
    effects = await world.tasks.judge(event)
    authorized = only(effects)
    assert isinstance(authorized.body, CallAuthorized)
    assert authorized.body.arguments == SMALL
    grant = verify_grant(TRUST, authorized.body.grant, event.body.task)
    assert grant.tool_digest == tool().digest
    assert (grant.policy_version, grant.approval_id) == (2, None)
    assert authorized.cause == event.id
    assert (await world.row(event.body.task)).state is State.AUTHORIZED


async def test_a_denial_says_why(world: World) -> None:
    await world.rulebook.permit("sales-copilot", ("crm:read",), (), build.person())
    denied = only(await world.tasks.judge(asked())).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.missing, denied.because) == ("denied", ("crm:export",), ())
    assert denied.reason == (
        "`sales-copilot` lacks permission `crm:export`, which tool `export_customers` of server "
        "`crm` requires"
    )
    assert denied.policy_version == 3


async def test_a_hold_says_for_whom_and_until_when(world: World) -> None:
    held = only(await world.tasks.judge(asked(arguments=BIG))).body
    assert isinstance(held, TaskHeld)
    assert (held.because, held.approvers) == (("big-export",), ("sales-manager",))
    assert held.expires_at == NOON + timedelta(minutes=15)


async def test_a_hold_ends_at_the_deadline_if_that_is_earlier(world: World) -> None:
    soon = task(arguments=BIG, deadline=NOON + timedelta(minutes=1))
    held = only(await world.tasks.judge(asked(soon, BIG))).body
    assert isinstance(held, TaskHeld)
    assert held.expires_at == soon.deadline


@pytest.mark.parametrize("arguments", [SMALL, BIG])
async def test_a_redelivery_gets_the_first_ones_facts_though_the_policy_changed(
    world: World, arguments: str
) -> None:
    first = await world.tasks.judge(asked(arguments=arguments))
    await world.rulebook.put(
        "acme", "closed", "forbid (principal, action, resource);", build.person()
    )
    world.after(minutes=5)
    assert await world.tasks.judge(asked(arguments=arguments)) == first
    other = asked(arguments=arguments, event_id="another-message-for-the-same-task")
    assert await (await world.replica()).tasks.judge(other) == first
    fresh = asked(task("task-2", arguments), arguments)
    assert types(await world.tasks.judge(fresh)) == ["denied"]


async def test_replicas_at_once_under_different_policies_make_one_decision(world: World) -> None:
    other = await world.replica()
    await world.rulebook.put(
        "acme", "closed", "forbid (principal, action, resource);", build.person()
    )
    events = [asked(task(f"task-{n}")) for n in range(20)]
    both = await asyncio.gather(
        *(one.tasks.judge(event) for event in events for one in (world, other))
    )
    assert both[::2] == both[1::2]
    assert {kind for effects in both for kind in types(effects)} <= {"denied", "authorized"}


async def test_a_batch_on_the_bus_is_decided_together(world: World) -> None:
    bus = MemoryBus(build.KEYRING, lambda: world.now)
    batch = [asked(task(f"task-{n}")).raw for n in range(30)]
    await bus.publish([*batch, *batch])
    group = asyncio.create_task(bus.run(Group("policy", world.tasks.routes())))
    await asyncio.wait_for(bus.drain(), 30)
    group.cancel()
    granted = [one for one in bus.published if one.topic == "task.authorized.call"]
    assert len(granted) == 60
    assert len({one.id for one in granted}) == 30


async def test_a_task_past_its_deadline_fails_only_if_it_was_not_decided(world: World) -> None:
    first = await world.tasks.judge(asked())
    world.after(hours=2)
    assert await world.tasks.judge(asked()) == first
    failed = only(await world.tasks.judge(asked(task("task-2")))).body
    assert isinstance(failed, TaskFailed)
    assert failed.code == "expired"


# -- what is forged -------------------------------------------------------------------------------


async def test_the_same_task_with_another_request_is_forged(world: World) -> None:
    await world.tasks.judge(asked())
    with pytest.raises(Forged, match="another request"):
        await world.tasks.judge(asked(task(arguments=BIG), BIG))
    assert (await world.row(task())).state is State.AUTHORIZED


async def test_an_identity_that_no_door_stated_is_forged(world: World) -> None:
    with pytest.raises(Forged):
        await world.tasks.judge(asked(by="audit"))
    with pytest.raises(Forged):
        await world.tasks.judge(build.sent(build.authenticated(task(), SMALL)))
    assert await world.decisions.of("acme", task().id) == []


async def test_arguments_that_the_digest_does_not_cover_are_forged(world: World) -> None:
    with pytest.raises(Forged, match="digest covers"):
        await world.tasks.judge(asked(task(arguments=SMALL), BIG))


# -- what is not offered --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"server": "erp"}, "server `erp` is not in the catalogue"),
        ({"tool": "delete_all"}, "tool `delete_all` is not offered by server `crm`"),
        ({"kind": TaskKind.DELEGATE}, "tasks of kind `delegate` are not offered"),
    ],
)
async def test_what_the_catalogue_lacks_is_not_offered(
    twin: World, changed: dict[str, Any], reason: str
) -> None:
    denied = only(await twin.tasks.judge(asked(task(**changed)))).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.reason) == ("not_offered", reason)


async def test_a_no_is_final_only_after_one_more_look(twin: World) -> None:
    other = await twin.replica()
    twin.state.publish(CATALOGUE, "acme", "erp", server(name="erp"))
    assert types(await twin.tasks.judge(asked(task(server="erp")))) == ["authorized"]
    await other.rulebook.permit("sales-copilot", (), (), build.person())
    await twin.rulebook.refresh()
    await other.rulebook.permit("sales-copilot", ("crm:read", "crm:export"), (), build.person())
    assert types(await twin.tasks.judge(asked(task("task-2")))) == ["authorized"]


async def test_what_another_replica_published_holds_for_the_next_decision(twin: World) -> None:
    """Without waiting for the next look at the database: a yes is not looked at twice."""
    other = await twin.replica()
    assert types(await other.tasks.judge(asked())) == ["authorized"]
    made = await twin.rulebook.permit("sales-copilot", (), (), build.person())
    twin.state.publish(POLICY, "acme", "set", made.record)
    await other.reader.load()  # as an announcement makes it
    assert types(await other.tasks.judge(asked(task("task-2")))) == ["denied"]


async def test_nobody_is_denied_while_published_state_is_away(twin: World) -> None:
    twin.state.away = True
    with pytest.raises(Unavailable):
        await twin.tasks.judge(asked(task(server="erp")))
    assert types(await twin.tasks.judge(asked())) == ["authorized"]


async def test_an_inspection_is_the_registrys(world: World) -> None:
    registry = build.principal("registry", PrincipalKind.SERVICE, user="olga")
    connection = '{"transport":"stdio","command":"git"}'
    wanted = task(
        principal=registry, kind=TaskKind.INSPECT, server="git", tool=None, arguments=connection
    )
    authorized = only(await world.tasks.judge(asked(wanted, connection, by="registry"))).body
    assert isinstance(authorized, CallAuthorized)
    assert verify_grant(TRUST, authorized.grant, wanted).tool_digest is None
    with pytest.raises(Forged):
        await world.tasks.judge(asked(wanted, connection, by="gateway"))


async def test_a_set_that_cannot_be_loaded_denies_all_of_its_tenant(twin: World) -> None:
    newest = twin.rulebook.newest("acme").record
    broken = newest.model_copy(
        update={
            "version": newest.version + 1,
            "policies": (newest.policies[0].model_copy(update={"text": "permit"}),),
        }
    )
    made = twin.rulebook.newest("acme")
    await twin.sets.add(type(made)(broken, NOON, "person:eve", "by hand"), asked().raw)
    await twin.rulebook.refresh()
    denied = only(await twin.tasks.judge(asked())).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.policy_version) == ("invalid_policy", broken.version)


async def test_a_forbid_that_errs_denies(world: World) -> None:
    text = '{"rows":"all"}'
    denied = only(await world.tasks.judge(asked(task(arguments=text), text))).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.because) == ("evaluation_error", ("big-export",))


# -- cancel ---------------------------------------------------------------------------------------


def cancel(arguments: str) -> Envelope[CancelRequested]:
    return build.sent(build.cancel_requested(task(arguments=arguments)))


async def test_a_cancel_before_the_task_ends_it_when_it_comes(world: World) -> None:
    event = cancel(SMALL)
    assert await world.tasks.cancel(event) == ()
    first = await world.tasks.judge(asked())
    cancelled = only(first)
    assert isinstance(cancelled.body, TaskCancelled)
    assert (cancelled.body.by, cancelled.cause) == (build.person(), event.id)
    assert await world.tasks.judge(asked()) == first
    assert await world.tasks.cancel(event) == ()
    assert await world.sent() == []


async def test_a_cancel_of_a_held_task_ends_it_once(world: World) -> None:
    held = await world.tasks.judge(asked(arguments=BIG))
    event = cancel(BIG)
    for _ in range(2):
        assert await world.tasks.cancel(event) == ()
    assert types(await world.sent()) == ["cancelled"]
    assert world.stated == 1
    assert await world.tasks.judge(asked(arguments=BIG)) == held
    row = await world.row(task(arguments=BIG))
    assert (row.state, types(row.later)) == (State.CANCELLED, ["cancelled"])


async def test_a_cancel_of_an_authorized_task_is_not_policys(world: World) -> None:
    await world.tasks.judge(asked())
    assert await world.tasks.cancel(cancel(SMALL)) == ()
    assert await world.sent() == []
    assert (await world.row(task())).state is State.AUTHORIZED


async def test_a_cancel_for_another_request_is_forged(world: World) -> None:
    await world.tasks.judge(asked(arguments=BIG))
    with pytest.raises(Forged):
        await world.tasks.cancel(cancel(SMALL))
    assert (await world.row(task())).state is State.HELD


async def test_cancel_and_request_at_once_agree(world: World) -> None:
    other = await world.replica()
    for n in range(10):
        wanted = task(f"task-{n}", BIG)
        effects, _ = await asyncio.gather(
            world.tasks.judge(asked(wanted, BIG)),
            other.tasks.cancel(build.sent(build.cancel_requested(wanted))),
        )
        assert (await world.row(wanted)).state is State.CANCELLED
        assert types(effects) in (["held"], ["cancelled"])


# -- time -----------------------------------------------------------------------------------------


async def test_a_held_task_that_nobody_answers_lapses_once(world: World) -> None:
    await world.tasks.judge(asked(arguments=BIG))
    other = await world.replica()
    world.after(minutes=14, seconds=59)
    assert await world.tasks.sweep() == 0
    world.after(minutes=15)
    other.after(minutes=15)
    await asyncio.gather(world.tasks.sweep(), other.tasks.sweep())
    (lapsed,) = await world.sent()
    denied = read(lapsed).body
    assert isinstance(denied, TaskDenied)
    assert (denied.code, denied.because) == ("lapsed", ("big-export",))
    assert await world.tasks.sweep() == 0


def passed(arguments: str) -> Envelope[DeadlinePassed]:
    return build.sent(build.deadline_passed(task(arguments=arguments)))


async def expire(world: World, arguments: str = SMALL) -> Effects:
    world.after(hours=1, minutes=1)
    return await world.tasks.expire(passed(arguments))


async def test_a_deadline_without_a_decision_fails_the_task_whenever_it_comes(
    world: World,
) -> None:
    first = await expire(world)
    assert isinstance(only(first).body, TaskFailed)
    assert await expire(world) == first
    assert await world.tasks.judge(asked()) == first


async def test_a_deadline_states_an_end_again(world: World) -> None:
    await world.rulebook.permit("sales-copilot", (), (), build.person())
    denied = await world.tasks.judge(asked())
    assert await expire(world) == denied


async def test_a_deadline_of_an_authorized_task_goes_to_the_next_authority(world: World) -> None:
    await world.tasks.judge(asked())
    assert await expire(world) == [AuthorizationExpired(task=task())]


async def test_a_deadline_of_a_held_task_lapses_it(world: World) -> None:
    await world.tasks.judge(asked(arguments=BIG))
    assert types(await expire(world, BIG)) == ["held", "denied"]
    assert types(await world.sent()) == ["denied"]
    assert types(await expire(world, BIG)) == ["held", "denied"]


async def test_a_deadline_that_has_not_passed_is_no_reason(world: World) -> None:
    await world.tasks.judge(asked(arguments=BIG))
    assert await world.tasks.expire(passed(BIG)) == ()
    assert (await world.row(task())).state is State.HELD


async def test_a_callable_server_that_was_retired_is_denied(twin: World) -> None:
    twin.state.publish(CATALOGUE, "acme", "crm", server(lifecycle=Lifecycle.RETIRED))
    await twin.reader.load()
    denied = only(await twin.tasks.judge(asked())).body
    assert isinstance(denied, TaskDenied)
    assert "the server is `retired`" in denied.reason
