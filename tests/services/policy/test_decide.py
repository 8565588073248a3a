"""Policy's own rules, plain."""

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.contracts.access import PolicySetRecord
from interlock.contracts.ids import PolicyId
from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from interlock.policy import Judgement, Verdict
from interlock.testing.build import NOON, person, principal, task
from services.policy import decide
from services.policy.model import Ask, Decision, State
from tests.interlock.policy.build import server, tool

EMPTY = PolicySetRecord(tenant="acme", version=0)


def held(because: tuple[str, ...] = ("a",), approvers: tuple[str, ...] = ()) -> Decision:
    judgement = Judgement(
        Verdict.HOLD, 1, tuple(map(PolicyId, because)), reason="r", approvers=approvers
    )
    return decide.decision(task(), judgement, Ask("{}"), NOON)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.ALLOW, State.AUTHORIZED),
        (Verdict.DENY, State.DENIED),
        (Verdict.HOLD, State.HELD),
    ],
)
def test_a_verdict_is_a_state_and_only_a_hold_keeps_the_question(
    verdict: Verdict, state: State
) -> None:
    row = decide.decision(task(), Judgement(verdict, 7), Ask("{}"), NOON)
    assert (row.state, row.policy_version) == (state, 7)
    assert (row.ask is not None) is (state is State.HELD)
    assert (row.expires_at is not None) is (state is State.HELD)
    assert state.ended is (state is State.DENIED)


@pytest.mark.parametrize(("seconds", "minutes"), [(None, 60), (60, 1), (7200, 60)])
def test_a_hold_ends_at_the_earlier_of_its_rules_time_and_the_deadline(
    seconds: int | None, minutes: int
) -> None:
    judgement = Judgement(Verdict.HOLD, 1, hold_seconds=seconds)
    assert decide.hold_ends(task(), judgement, NOON) == NOON + timedelta(minutes=minutes)


def test_a_deadline_has_passed_from_its_moment_on() -> None:
    assert not decide.expired(task(), task().deadline - timedelta(microseconds=1))
    assert decide.expired(task(), task().deadline)


def test_a_decisions_id_follows_from_tenant_task_and_round() -> None:
    ids = {
        decide.decision_id(one)
        for one in (
            task(),
            task("task-2"),
            task(round=1),
            task(principal=principal(tenant="beta")),
            task(principal=person()),
        )
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("judgement", "counts"),
    [
        (Judgement(Verdict.ALLOW, 2), True),
        (Judgement(Verdict.DENY, 2, (PolicyId("a"),)), False),
        (Judgement(Verdict.HOLD, 2, (PolicyId("a"),), approvers=("cfo",)), True),
        (Judgement(Verdict.HOLD, 2, (PolicyId("a"), PolicyId("b")), approvers=("cfo",)), False),
        (Judgement(Verdict.HOLD, 2, (PolicyId("a"),)), False),
    ],
)
def test_an_approval_counts_for_the_same_hold_or_none(judgement: Judgement, counts: bool) -> None:
    assert decide.confirmed(held(approvers=("cfo",)), judgement) is counts


@pytest.mark.parametrize(
    ("approvers", "roles", "may"),
    [
        ((), ("approver",), True),
        ((), ("cfo",), False),
        (("cfo", "cto"), ("cto",), True),
        (("cfo",), ("approver",), False),
        ((), (), False),
    ],
)
def test_the_roles_that_a_rule_names_may_answer(
    approvers: tuple[str, ...], roles: tuple[str, ...], may: bool
) -> None:
    assert decide.may_answer(roles, held(approvers=approvers)) is may


def test_an_inspection_needs_no_catalogue_and_a_call_its_tool() -> None:
    inspect = task(kind=TaskKind.INSPECT, tool=None)
    assert decide.not_offered(inspect, None, None) is None
    assert decide.not_offered(task(), server(), tool()) is None
    assert decide.not_offered(task(), server(), None)
    assert decide.not_offered(task(kind=TaskKind.DELEGATE), server(), tool())


def test_policies_are_kept_by_name() -> None:
    record = decide.with_policy(decide.with_policy(EMPTY, "b", "1"), "a", "2")
    assert [one.name for one in record.policies] == ["a", "b"]
    assert decide.with_policy(record, "a", "3").policies[0].text == "3"
    assert [one.name for one in decide.without_policy(record, "a").policies] == ["b"]
    with pytest.raises(Refused, match="there are `a`, `b`"):
        decide.without_policy(record, "c")


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "-a", "builtin/a", "a" * 65, "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        decide.require_name("policy", name)


def test_an_answerer_is_another_person_whatever_the_name_stands_for() -> None:
    row = replace(held(), task=task(principal=principal(user="ana")))

    class Caller:
        def __init__(self, name: str) -> None:
            self.principal, self.roles = person(name), ("approver",)

    decide.require_answerer(Caller("maria"), row)
    for name in ("ana", "sales-copilot"):
        with pytest.raises(Refused, match="somebody else"):
            decide.require_answerer(Caller(name), row)
