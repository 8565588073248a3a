"""The rules, plain."""

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.contracts.access import AgentRecord, RevocationRecord
from interlock.contracts.catalogue import HttpConnection, Lifecycle, StdioConnection
from interlock.contracts.ids import Digest
from interlock.contracts.outcomes import TaskCancelled, TaskFailed, TaskSucceeded, TaskUnknown
from interlock.contracts.task import PrincipalKind, Task, TaskKind, digest_of
from interlock.testing import build
from services.invocation import decide
from services.invocation.decide import Pulse
from services.invocation.decide.looking import INSPECT_SECONDS
from services.invocation.model import (
    Again,
    Call,
    Control,
    How,
    Job,
    Lease,
    Limits,
    Target,
    Terms,
    Try,
    Unfit,
    World,
)
from tests.services.invocation.rig import DISCOUNT, EMPTY, SEARCH, server, task

NOON = build.NOON
AGENT = AgentRecord(tenant="acme", name="sales-copilot")
WORLD = World(server(), AGENT, {})
ONCE = Terms(repeatable=False, most_attempts=4, pause=1.0)
REPEATABLE = replace(ONCE, repeatable=True)
STOP = Control(build.person(), "no longer needed")
LOST = Try(How.LOST, "the connection broke")
NOT_SENT = Try(How.NOT_SENT, "nobody listens")


def job(of: Task | None = None, attempt: int = 1, digest: Digest | None = None) -> Job:
    given = of or task()
    return Job(
        task=given,
        arguments=build.ARGUMENTS,
        tool_digest=digest or EMPTY,
        cause=None,
        traceparent=None,
        lease=Lease("acme", given.id, "me", attempt),
        attempt=attempt,
        attempts=tuple(build.attempt(n, "not_sent") for n in range(1, attempt)),
        accepted_at=NOON,
        claimed_at=NOON,
    )


def after(tried: Try, terms: Terms, of: Job | None = None) -> object:
    return decide.after(of or job(), tried, 0.5, terms, NOON)


def unfit(found: Call | Unfit) -> str:
    assert isinstance(found, Unfit)
    return f"{found.code}: {found.reason}"


# -- may it still run? -----------------------------------------------------------------------------


def test_what_was_granted_is_called_as_the_catalogue_says() -> None:
    found = decide.look(job(), WORLD, NOON)
    target = Target("tools/call", SEARCH.name)
    expected = Call(server().connection, SEARCH.timeout_seconds, True, SEARCH.definition, target)
    assert found == expected


def test_an_attempt_gets_no_time_beyond_the_deadline() -> None:
    soon = task(deadline=NOON + timedelta(seconds=3))
    found = decide.look(job(soon), WORLD, NOON)
    assert isinstance(found, Call) and found.timeout == 3.0


def test_nothing_runs_at_or_after_its_deadline() -> None:
    assert unfit(decide.look(job(task(deadline=NOON)), WORLD, NOON)).startswith("expired: ")


@pytest.mark.parametrize("state", [s for s in Lifecycle if not s.callable])
def test_a_server_that_is_not_callable_any_more_is_not_called(state: Lifecycle) -> None:
    world = replace(WORLD, server=server(lifecycle=state))
    assert unfit(decide.look(job(), world, NOON)).startswith("stale: ")


def test_a_server_or_tool_that_is_gone_is_stale() -> None:
    assert unfit(decide.look(job(), replace(WORLD, server=None), NOON)).startswith("stale: ")
    other = replace(WORLD, server=server(tools=(DISCOUNT,)))
    assert "does not offer `search_opportunities`" in unfit(decide.look(job(), other, NOON))


def test_a_tool_that_changed_since_the_grant_is_stale() -> None:
    old = job(digest=digest_of("an older definition"))
    assert "changed since it was granted" in unfit(decide.look(old, WORLD, NOON))


def test_a_disabled_or_unknown_agent_runs_nothing_more() -> None:
    disabled = replace(WORLD, agent=AGENT.model_copy(update={"enabled": False}))
    assert "is disabled" in unfit(decide.look(job(), disabled, NOON))
    assert "is disabled" in unfit(decide.look(job(), replace(WORLD, agent=None), NOON))


@pytest.mark.parametrize("who", ["agent:sales-copilot", "user:ana"])
def test_access_revoked_after_acceptance_stops_the_task(who: str) -> None:
    asked = task(principal=build.principal(user="ana"))
    kind, _, name = who.partition(":")
    for moment, stops in ((NOON + timedelta(seconds=1), True), (NOON, False)):
        record = RevocationRecord(tenant="acme", kind=kind, name=name, not_before=moment)
        found = decide.look(job(asked), replace(WORLD, revocations={who: record}), NOON)
        assert isinstance(found, Unfit) is stops


def test_an_inspection_calls_the_connection_in_its_arguments() -> None:
    principal = build.principal("registry", PrincipalKind.SERVICE)
    looked = replace(
        job(task(kind=TaskKind.INSPECT, principal=principal)),
        arguments=StdioConnection(command="clock").model_dump_json(),
    )
    world = World(None, None, {})
    assert decide.look(looked, world, NOON) == Call(
        StdioConnection(command="clock"), INSPECT_SECONDS, True
    )
    assert unfit(decide.look(replace(looked, arguments="{}"), world, NOON)).startswith("bad_arg")


def test_other_kinds_are_refused_in_words() -> None:
    asked = job(task(kind=TaskKind.DELEGATE))
    assert unfit(decide.look(asked, WORLD, NOON)).startswith("unsupported")


def test_a_credential_that_cannot_be_fetched_stops_the_call() -> None:
    connection = HttpConnection(url="http://crm.example/mcp", credential="crm-token")
    world = replace(WORLD, server=server(connection=connection))
    assert unfit(decide.look(job(), world, NOON)).startswith("no_credential: ")


def test_a_repeat_is_safe_only_where_the_granted_tool_says_so() -> None:
    assert decide.repeatable(job(), WORLD)
    assert not decide.repeatable(job(task(used="grant_discount")), WORLD)
    assert not decide.repeatable(job(), replace(WORLD, server=None))
    assert not decide.repeatable(job(digest=digest_of("older")), WORLD)


# -- what follows from an attempt ------------------------------------------------------------------


def test_an_answer_ends_the_task_with_the_tools_own_word_on_errors() -> None:
    ended = after(Try(How.ANSWERED, result='{"isError":true}', is_error=True), ONCE)
    assert isinstance(ended, TaskSucceeded)
    assert (ended.result, ended.is_error) == ('{"isError":true}', True)
    assert [attempt.outcome for attempt in ended.attempts] == ["answered"]


def test_an_error_of_the_upstream_is_final_and_kept_as_it_is() -> None:
    ended = after(Try(How.ERROR, "it says no", error='{"code":-32602}'), REPEATABLE)
    assert isinstance(ended, TaskFailed)
    assert (ended.code, ended.error) == ("upstream_error", '{"code":-32602}')


def test_a_lost_call_that_may_not_be_repeated_is_unknown() -> None:
    assert isinstance(after(LOST, ONCE), TaskUnknown)


def test_a_lost_call_that_may_be_repeated_is_tried_again_later() -> None:
    again = after(LOST, REPEATABLE)
    assert isinstance(again, Again) and again.not_before == NOON + timedelta(seconds=1)


def test_what_was_not_sent_is_always_tried_again() -> None:
    assert isinstance(after(NOT_SENT, ONCE), Again)


def test_an_upstream_is_left_alone_for_as_long_as_it_asks() -> None:
    again = after(replace(NOT_SENT, retry_after=7.0), ONCE)
    assert isinstance(again, Again) and again.not_before == NOON + timedelta(seconds=7)


def test_after_the_last_attempt_all_of_them_are_listed() -> None:
    ended = after(NOT_SENT, ONCE, job(attempt=4))
    assert isinstance(ended, TaskFailed) and ended.code == "unreachable"
    assert [attempt.number for attempt in ended.attempts] == [1, 2, 3, 4]


def test_no_attempt_is_planned_beyond_the_deadline() -> None:
    ended = after(NOT_SENT, ONCE, job(task(deadline=NOON + timedelta(seconds=1))))
    assert isinstance(ended, TaskFailed) and ended.code == "unreachable"
    late = after(NOT_SENT, ONCE, job(task(deadline=NOON)))
    assert isinstance(late, TaskFailed) and late.code == "expired"


@pytest.mark.parametrize(
    ("tried", "terms", "ends"),
    [
        (NOT_SENT, ONCE, TaskCancelled),
        (LOST, REPEATABLE, TaskCancelled),
        (LOST, ONCE, TaskUnknown),
        (Try(How.ANSWERED, result="{}"), ONCE, TaskSucceeded),
    ],
)
def test_a_cancelled_call_ends_as_what_is_known_of_it(
    tried: Try, terms: Terms, ends: type[object]
) -> None:
    assert isinstance(after(tried, replace(terms, control=STOP)), ends)


def test_a_result_that_is_too_large_becomes_an_error_that_says_so() -> None:
    limits = Limits(result_bytes=10)
    small, large = Try(How.ANSWERED, result="0123456789"), Try(How.ANSWERED, result="ä" * 6)
    assert decide.bounded(small, limits) is small
    bounded = decide.bounded(large, limits)
    assert (bounded.how, bounded.code) == (How.ERROR, "too_large")
    assert "`12` bytes" in bounded.detail


def test_only_a_late_answer_settles() -> None:
    assert decide.settlement(task(), LOST, build.person()) is None
    for tried, outcome in ((Try(How.ANSWERED, result="{}"), "succeeded"), (NOT_SENT, "failed")):
        settled = decide.settlement(task(), tried, build.person())
        assert settled is not None and settled.outcome == outcome


def test_pauses_double_up_to_a_bound_and_half_of_each_is_chance() -> None:
    limits = Limits(first_pause=1.0, longest_pause=5.0)
    assert [decide.pause(n, 1.0, limits) for n in (1, 2, 3, 4, 9)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert decide.pause(2, 0.0, limits) == 1.0


# -- who gets what ---------------------------------------------------------------------------------


def test_no_upstream_takes_more_than_its_room() -> None:
    busy, idle = ("acme", "busy"), ("acme", "idle")
    waiting = [(("acme", f"t{n}"), busy if n < 4 else idle) for n in range(6)]
    chosen = decide.choose(waiting, {busy: 1}, 2)  # type: ignore[arg-type]  # ids as plain text
    assert [key[1] for key in chosen] == ["t0", "t4", "t5"]


def test_a_lease_dies_once_its_holder_has_not_moved_for_long_enough() -> None:
    limits = Limits(lease_seconds=3.0)
    one, other = Lease("acme", task().id, "a", 1), Lease("acme", task("t-2").id, "b", 1)
    seen = decide.watch({}, {one: 5, other: 7}, 100.0)
    assert decide.dead(seen, 102.9, limits) == []
    seen = decide.watch(seen, {one: 5, other: 8}, 102.9)
    assert seen == {one: Pulse(5, 100.0), other: Pulse(8, 102.9)}
    assert decide.dead(seen, 103.0, limits) == [one]


def test_a_row_that_changes_hands_is_watched_anew() -> None:
    one = Lease("acme", task().id, "a", 1)
    seen = decide.watch({}, {one: None}, 100.0)
    again = replace(one, fence=2)
    assert decide.watch(seen, {again: None}, 200.0) == {again: Pulse(None, 200.0)}


@pytest.mark.parametrize(
    ("kind", "arguments", "method", "name"),
    [
        (TaskKind.READ, '{"uri":"notes://x"}', "resources/read", "notes://x"),
        (TaskKind.PROMPT, '{"name":"greet"}', "prompts/get", "greet"),
        (TaskKind.COMPLETE, '{"ref":{}}', "completion/complete", ""),
    ],
)
def test_a_read_a_prompt_and_a_completion_are_repeatable_calls_of_their_methods(
    kind: TaskKind, arguments: str, method: str, name: str
) -> None:
    asked = replace(job(task(kind=kind)), arguments=arguments)
    call = decide.look(asked, WORLD, NOON)
    assert isinstance(call, Call)
    assert (call.target, call.repeatable) == ((method, name), True)
    assert decide.repeatable(asked, WORLD)
    retired = replace(WORLD, server=server(lifecycle=Lifecycle.RETIRED))
    assert unfit(decide.look(asked, retired, NOON)).startswith("stale")
    if kind is not TaskKind.COMPLETE:
        nameless = replace(asked, arguments="{}")
        assert unfit(decide.look(nameless, WORLD, NOON)).startswith("bad_arguments")
