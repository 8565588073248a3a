"""The steps of an attempt, in the order in which the upstream took them, however they arrive.

What is told of an attempt on the way is numbered (`seq`, from 1). Replicas share the events, so a
later one, or the end, may be known before an earlier one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from interlock.contracts.outcomes import (
    TaskCancelled,
    TaskFailed,
    TaskInputRequired,
    TaskLogged,
    TaskProgressed,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import TaskEvent
from services.gateway.decide import merge
from services.gateway.model import Milestone, Snapshot

Step = tuple[int, int]
"""Attempt and number."""


def step_of(fact: TaskEvent | None) -> Step | None:
    """None of what is not numbered."""
    if isinstance(fact, TaskProgressed | TaskLogged | TaskInputRequired):
        return fact.attempt, fact.seq
    return None


def next_up(told: Mapping[int, int], waiting: Collection[Step]) -> Sequence[Step]:
    """Those of `waiting` that may be told now: none before the one before it.

    `told`: up to which number each attempt was told. One below that comes late, and goes at once.
    """
    found, reached = [], dict(told)
    for attempt, number in sorted(waiting):
        before = reached.get(attempt, 0)
        if number > before + 1:
            break
        found.append((attempt, number))
        reached[attempt] = max(before, number)
    return found


def taken(fact: TaskEvent | None) -> Mapping[int, int]:
    """How many steps of each attempt were surely taken, says the fact that stands."""
    step = step_of(fact)
    if step is not None:
        return dict([step])
    if isinstance(fact, TaskSucceeded | TaskFailed | TaskCancelled | TaskUnknown):
        return {one.number: one.told for one in fact.attempts}
    return {}


def lacks(told: Mapping[int, int], waiting: Collection[Step], fact: TaskEvent | None) -> bool:
    """Whether a step was taken that is not known yet."""
    return bool(waiting) or any(
        number > told.get(attempt, 0) for attempt, number in taken(fact).items()
    )


def without_stale(
    entries: Iterable[Milestone], snapshot: Snapshot, highest: str
) -> tuple[Sequence[Milestone], str]:
    """Entries of a log for whoever follows where the task stands: no progress that was passed.

    `highest` is the rank that was reached before them; that after them is given back.
    """
    found = []
    for one in entries:
        rank = snapshot.rank if one.fact is None else merge.rank_of(one.fact)
        if not isinstance(one.fact, TaskProgressed) or rank >= highest:
            found.append(one)
        highest = max(highest, rank)
    return found, highest
