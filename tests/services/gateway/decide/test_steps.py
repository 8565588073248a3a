"""The order of what is told of an attempt on the way."""

from itertools import permutations

import pytest

from interlock.contracts.outcomes import Attempt
from interlock.contracts.task import TaskEvent
from interlock.testing import build
from services.gateway.decide import steps
from services.gateway.model import Milestone
from tests.services.gateway.decide.test_merge import after

ONE, TWO, THREE = (1, 1), (1, 2), (1, 3)


@pytest.mark.parametrize("order", [*permutations([ONE, TWO, THREE])])
def test_whatever_the_order_each_is_told_once_and_behind_the_one_before(
    order: tuple[steps.Step, ...],
) -> None:
    told: dict[int, int] = {}
    waiting: set[steps.Step] = set()
    found: list[steps.Step] = []
    for one in order:
        waiting.add(one)
        up = steps.next_up(told, waiting)
        told.update(up)
        waiting -= {*up}
        found += up
    assert found == [ONE, TWO, THREE]


def test_a_later_attempt_waits_for_what_lacks_of_an_earlier_one() -> None:
    assert steps.next_up({}, [TWO, (2, 1)]) == []
    assert steps.next_up({}, [ONE, (2, 1)]) == [ONE, (2, 1)]
    assert steps.next_up({1: 1}, [(2, 1)]) == [(2, 1)]


def test_one_that_comes_late_goes_at_once() -> None:
    assert steps.next_up({1: 3}, [TWO]) == [TWO]


def ending(fact: TaskEvent, *told: int) -> TaskEvent:
    """The fact as an end that says how many steps each attempt took."""
    attempts = [build.attempt(number) for number, _ in enumerate(told, 1)]
    told_of = zip(attempts, told, strict=True)
    counted = tuple(one.model_copy(update={"told": many}) for one, many in told_of)
    return fact.model_copy(update={"attempts": counted})


def ended(*told: int) -> TaskEvent:
    return ending(build.succeeded(), *told)


@pytest.mark.parametrize(
    ("fact", "told", "lacks"),
    [
        (build.started(), {}, False),
        (build.progressed(seq=2), {1: 1}, True),
        (build.progressed(seq=2), {1: 2}, False),
        (build.input_required(seq=2), {1: 1}, True),
        (ended(3), {1: 2}, True),
        (ended(3), {1: 3}, False),
        (ended(1, 2), {2: 2}, True),
        (ended(0), {}, False),
        (build.succeeded(), {}, False),
        (None, {}, False),
    ],
)
def test_the_fact_that_stands_says_which_were_taken(
    fact: TaskEvent | None, told: dict[int, int], lacks: bool
) -> None:
    assert steps.lacks(told, (), fact) is lacks
    assert steps.lacks(told, [THREE], fact)


def test_who_follows_where_a_task_stands_sees_no_progress_that_was_passed() -> None:
    facts: list[TaskEvent] = [
        build.started(),
        build.progressed(seq=2),
        build.progressed(seq=1),
        build.logged(seq=3),
        build.held(),
    ]
    snapshot = after(*facts)
    log = [Milestone(n, one.type, snapshot.updated_at, one) for n, one in enumerate(facts, 1)]
    found, highest = steps.without_stale(log, snapshot, "")
    assert [one.number for one in found] == [1, 2, 4, 5]
    end = after(build.succeeded())
    last = [Milestone(6, build.succeeded().type, end.updated_at, None), log[1]]
    found, highest = steps.without_stale(last, end, highest)
    assert [one.number for one in found] == [6]


def test_an_attempt_of_an_older_invocation_says_nothing_of_its_steps() -> None:
    told = Attempt.model_validate_json(build.attempt(1).model_dump_json(exclude={"told"}))
    assert told.told == 0
