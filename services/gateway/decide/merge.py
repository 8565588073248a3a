"""What the facts about a task add up to. The order in which they come does not matter (DESIGN §3).

A fact has a rank; the highest stands. Of two with the same rank the one with the higher id stands,
but an end never gives way to another: a client was told. A fact of a later round outranks all
of earlier rounds that are no end. `store/scripts.py` says the same in Lua.
"""

from dataclasses import replace
from datetime import datetime
from enum import IntEnum

import orjson

from interlock.contracts.outcomes import (
    Settlement,
    TaskAccepted,
    TaskApproved,
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskHeld,
    TaskInputRequired,
    TaskLogged,
    TaskParked,
    TaskProgressed,
    TaskSettled,
    TaskStarted,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Task, TaskEvent, TaskState
from services.gateway.model import Happened, Snapshot

STATES: dict[type[TaskEvent], TaskState] = {
    TaskAccepted: TaskState.SUBMITTED,
    TaskHeld: TaskState.HELD,
    TaskApproved: TaskState.SUBMITTED,
    TaskParked: TaskState.PARKED,
    TaskStarted: TaskState.RUNNING,
    TaskProgressed: TaskState.RUNNING,
    TaskLogged: TaskState.RUNNING,
    TaskInputRequired: TaskState.INPUT_REQUIRED,
    TaskSucceeded: TaskState.SUCCEEDED,
    TaskFailed: TaskState.FAILED,
    TaskDenied: TaskState.DENIED,
    TaskCancelled: TaskState.CANCELLED,
    TaskUnknown: TaskState.UNKNOWN,
}


def _rank(stage: int, first: int = 0, second: int = 0, *, round_: int = 0) -> str:
    """A rank as text that sorts like the numbers: later rounds behind all that happens in the
    first one, and before every end."""
    place = f"{stage:02d}.{first:08d}.{second:012d}"
    return f"06~{round_:08d}.{place}" if round_ else place


UNPLACED = "00"
"""What a log entry ranks: it stands only where nothing else is known."""
ACCEPTING = _rank(0)
SUBMITTED = _rank(1)
ENDED = _rank(7)
"""From here on a task has ended."""
SETTLED = _rank(8)


def state_of(fact: TaskEvent) -> TaskState:
    """The state that a client sees while `fact` stands."""
    if isinstance(fact, TaskSettled):
        succeeded = fact.outcome is Settlement.SUCCEEDED
        return TaskState.SUCCEEDED if succeeded else TaskState.FAILED
    return STATES[type(fact)]


def rank_of(fact: TaskEvent) -> str:
    """Where `fact` stands among all that may happen to a task."""
    if isinstance(fact, TaskLogged):
        return UNPLACED
    if isinstance(fact, TaskSettled):
        return SETTLED
    place = _place_of(fact)
    return _rank(*place, round_=fact.task.round) if place else ENDED


def _place_of(fact: TaskEvent) -> tuple[int, ...]:
    """Stage, attempt and number within its round; nothing for an end."""
    match fact:
        case TaskAccepted():
            return (1,)
        case TaskParked(after_decision=after):
            return (5 if after else 2,)
        case TaskHeld(policy_version=version):
            return (3, 0, version)
        case TaskApproved(approved_under=version):
            return (4, 0, version)
        case TaskStarted() | TaskProgressed() | TaskInputRequired():
            return (6, fact.attempt, 0 if isinstance(fact, TaskStarted) else fact.seq + 1)
    return ()


def input_given(round_: int) -> str:
    """The rank of a task that was given its input of that round, before anybody spoke for it."""
    return _rank(1, round_=round_)


class Weight(IntEnum):
    """How a task's log takes a fact."""

    MILESTONE = 0
    """Always."""
    START = 1
    """While there is room; one that is past is of no interest to anybody."""
    CHATTER = 2
    """While there is room. Progress that is past, too: `decide.steps` puts it where it belongs."""


def weight_of(fact: TaskEvent) -> Weight:
    """How the log takes `fact`."""
    if isinstance(fact, TaskStarted):
        return Weight.START
    chatter = isinstance(fact, TaskProgressed | TaskLogged)
    return Weight.CHATTER if chatter else Weight.MILESTONE


def supersedes(standing: Snapshot, event: Happened) -> bool:
    """Whether `event` stands from now on."""
    rank = rank_of(event.fact)
    if rank == standing.rank:
        return rank < ENDED and event.id > standing.fact_id
    return rank > standing.rank


def member(key: str, text: str) -> str:
    """An answer as `Snapshot.answers` has it."""
    return f"{orjson.dumps(key).decode()}:{text},"


def accepted(task: Task, now: datetime) -> Snapshot:
    """A task that the door takes in."""
    return Snapshot(task, TaskState.ACCEPTING, ACCEPTING, created_at=now, updated_at=now)


def published(snapshot: Snapshot) -> Snapshot:
    """A task whose request the bus has."""
    if snapshot.rank >= SUBMITTED:
        return snapshot
    return replace(snapshot, state=TaskState.SUBMITTED, rank=SUBMITTED)


def given(snapshot: Snapshot, task: Task, now: datetime) -> Snapshot:
    """A task that was given the input of its round, and of which nobody has spoken since."""
    return replace(
        snapshot,
        task=task,
        state=TaskState.SUBMITTED,
        rank=input_given(task.round),
        updated_at=now,
        fact=None,
        fact_id="",
        answers="",
    )


def merge(snapshot: Snapshot | None, event: Happened) -> Snapshot:
    """The snapshot with one more fact. A task may be known by any of its facts first."""
    if snapshot is None:
        return _standing(event, event.time)
    created_at = min(snapshot.created_at, event.time)
    if supersedes(snapshot, event):
        return _standing(event, created_at, snapshot.answers)
    return replace(snapshot, created_at=created_at)


def _standing(event: Happened, created_at: datetime, answers: str = "") -> Snapshot:
    return Snapshot(
        task=event.fact.task,
        state=state_of(event.fact),
        rank=rank_of(event.fact),
        created_at=created_at,
        updated_at=event.time,
        fact=event.fact,
        fact_id=event.id,
        answers=answers,
    )
