"""The merge rule: any order and repetition of the same facts is the same snapshot."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.contracts.ids import EventId
from interlock.contracts.outcomes import Settlement, TaskParked, TaskSettled
from interlock.contracts.task import TaskEvent, TaskState
from interlock.testing import build
from interlock.testing.build import NOON
from services.gateway.decide import merge
from services.gateway.model import Happened, Snapshot


def happened(fact: TaskEvent, number: int = 0) -> Happened:
    time = NOON + timedelta(seconds=number)
    return Happened(EventId(f"event-{number:03d}"), fact, time, fact.model_dump_json().encode())


def settled(outcome: Settlement = Settlement.SUCCEEDED) -> TaskSettled:
    return TaskSettled(task=build.task(), outcome=outcome, by=build.person())


def after(*facts: TaskEvent) -> Snapshot:
    snapshot = merge.accepted(build.task(), NOON)
    for number, fact in enumerate(facts):
        snapshot = merge.merge(snapshot, happened(fact, number))
    return snapshot


def parked(after_decision: bool) -> TaskEvent:
    return TaskParked(
        task=build.task(),
        dead_topic="task.authenticated.policy.dead",
        letter_id=EventId("letter-1"),
        after_decision=after_decision,
        code="internal",
        reason="the handler failed",
    )


LADDER: list[tuple[TaskEvent, TaskState]] = [
    (build.accepted(), TaskState.SUBMITTED),
    (parked(False), TaskState.PARKED),
    (build.held(), TaskState.HELD),
    (build.approved(), TaskState.SUBMITTED),
    (parked(True), TaskState.PARKED),
    (build.started(number=1), TaskState.RUNNING),
    (build.progressed(number=1, seq=1), TaskState.RUNNING),
    (build.progressed(number=1, seq=2), TaskState.RUNNING),
    (build.started(number=2), TaskState.RUNNING),
    (build.input_required(number=2, seq=3), TaskState.INPUT_REQUIRED),
    (build.accepted(build.task(round=1)), TaskState.SUBMITTED),
    (build.held(build.task(round=1)), TaskState.HELD),
    (build.started(build.task(round=1), number=3), TaskState.RUNNING),
    (build.progressed(build.task(round=1), number=3, seq=1), TaskState.RUNNING),
    (build.held(build.task(round=12)), TaskState.HELD),
    (build.unknown(), TaskState.UNKNOWN),
    (settled(), TaskState.SUCCEEDED),
]


@pytest.mark.parametrize("place", range(1, len(LADDER)))
def test_a_later_stage_stands_in_whichever_order_the_two_come(place: int) -> None:
    (lower, _), (higher, state) = LADDER[place - 1], LADDER[place]
    assert after(lower, higher).fact == after(higher, lower).fact == higher
    assert after(lower, higher).state is after(higher, lower).state is state


@pytest.mark.parametrize("end", [build.succeeded(), build.failed(), build.denied()])
def test_an_end_never_goes_back(end: TaskEvent) -> None:
    for fact, _ in LADDER[:-2]:
        assert after(end, fact).fact == end


def test_of_two_ends_the_first_stands_because_a_client_was_told() -> None:
    assert after(build.succeeded(), build.cancelled()).state is TaskState.SUCCEEDED
    assert after(build.cancelled(), build.succeeded()).state is TaskState.CANCELLED


def test_an_unknown_outcome_can_be_settled_either_way() -> None:
    assert after(build.unknown(), settled()).state is TaskState.SUCCEEDED
    assert after(settled(Settlement.FAILED), build.unknown()).state is TaskState.FAILED


def test_a_task_whose_request_the_bus_has_is_submitted_unless_more_is_known() -> None:
    assert merge.published(after()).state is TaskState.SUBMITTED
    assert merge.published(after(build.held())).state is TaskState.HELD


def test_input_that_was_given_stands_until_somebody_speaks_for_it() -> None:
    asked = after(build.input_required(number=9, seq=9))
    given = merge.given(asked, build.task(round=1), NOON)
    assert (given.state, given.fact, given.task.round) == (TaskState.SUBMITTED, None, 1)
    again = merge.merge(given, happened(build.input_required(number=9, seq=9), 3))
    assert again.state is TaskState.SUBMITTED
    held = merge.merge(given, happened(build.held(build.task(round=1)), 4))
    assert held.state is TaskState.HELD


def test_what_an_upstream_logs_changes_nothing_about_where_the_task_stands() -> None:
    for fact, state in LADDER:
        assert after(fact, build.logged()).state is state
        assert after(build.logged(), fact).fact == fact
    assert merge.merge(None, happened(build.logged())).state is TaskState.RUNNING


def test_a_task_may_be_known_by_any_of_its_facts_first() -> None:
    snapshot = merge.merge(None, happened(build.held(), 5))
    assert snapshot.state is TaskState.HELD
    assert snapshot.created_at == NOON + timedelta(seconds=5)


def test_ranks_sort_as_text_like_their_numbers() -> None:
    ranks = [
        merge.rank_of(build.progressed(build.task(round=r), number=n, seq=s))
        for r in (0, 2, 10)
        for n in (2, 10)
        for s in (9, 100)
    ]
    assert ranks == sorted(ranks)


FACTS = st.one_of(
    st.sampled_from([fact for fact, _ in LADDER[:-2]]),
    st.just(build.logged()),
    st.builds(
        lambda round_, number, seq: build.progressed(
            build.task(round=round_), number=number, seq=seq
        ),
        st.integers(0, 3),
        st.integers(1, 20),
        st.integers(0, 2000),
    ),
)
ENDS = st.sampled_from([build.succeeded(), build.failed(), build.denied(), build.unknown()])


@given(st.lists(FACTS, max_size=12), st.one_of(st.none(), ENDS), st.integers(), st.booleans())
def test_any_order_and_repetition_gives_the_same_snapshot(
    facts: list[TaskEvent], end: TaskEvent | None, seed: int, known_at_door: bool
) -> None:
    events = [happened(fact, n) for n, fact in enumerate([*facts, *([end] if end else [])])]
    shuffled = events + [event for event in events if event.id > "event-002"]
    random.Random(seed).shuffle(shuffled)

    def total(some: list[Happened]) -> Snapshot | None:
        snapshot = merge.accepted(build.task(), NOON) if known_at_door else None
        for event in some:
            snapshot = merge.merge(snapshot, event)
        return snapshot

    assert total(shuffled) == total(events)
