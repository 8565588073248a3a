"""What the facts about a task add up to. The order in which they come does not matter (DESIGN §3).

A fact has a rank; the highest stands. Of two with the same rank the one with the higher id stands,
but an end never gives way to another: a client was told. `store/scripts.py` says the same in Lua.
"""

from dataclasses import replace
from datetime import datetime

from interlock.contracts.outcomes import (
    Settlement,
    TaskAccepted,
    TaskApproved,
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskHeld,
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
    TaskSucceeded: TaskState.SUCCEEDED,
    TaskFailed: TaskState.FAILED,
    TaskDenied: TaskState.DENIED,
    TaskCancelled: TaskState.CANCELLED,
    TaskUnknown: TaskState.UNKNOWN,
}


def _rank(stage: int, first: int = 0, second: int = 0) -> str:
    """A rank as text that sorts like the numbers."""
    return f"{stage:02d}.{first:08d}.{second:012d}"


ACCEPTING = _rank(0)
SUBMITTED = _rank(1)
ENDED = _rank(7)
"""From here on a task has ended."""


def state_of(fact: TaskEvent) -> TaskState:
    """The state that a client sees while `fact` stands."""
    if isinstance(fact, TaskSettled):
        succeeded = fact.outcome is Settlement.SUCCEEDED
        return TaskState.SUCCEEDED if succeeded else TaskState.FAILED
    return STATES[type(fact)]


def rank_of(fact: TaskEvent) -> str:
    """Where `fact` stands among all that may happen to a task."""
    place: tuple[int, ...] = (7,)
    match fact:
        case TaskAccepted():
            place = (1,)
        case TaskParked(after_decision=after):
            place = (5 if after else 2,)
        case TaskHeld(policy_version=version):
            place = (3, 0, version)
        case TaskApproved(approved_under=version):
            place = (4, 0, version)
        case TaskStarted(attempt=attempt):
            place = (6, attempt)
        case TaskProgressed(attempt=attempt, seq=seq):
            place = (6, attempt, seq + 1)
        case TaskSettled():
            place = (8,)
    return _rank(*place)


def tells_progress(fact: TaskEvent) -> bool:
    """Whether a stale one is of no interest to anybody."""
    return isinstance(fact, TaskStarted | TaskProgressed)


def supersedes(standing: Snapshot, event: Happened) -> bool:
    """Whether `event` stands from now on."""
    rank = rank_of(event.fact)
    if rank == standing.rank:
        return rank < ENDED and event.id > standing.fact_id
    return rank > standing.rank


def accepted(task: Task, now: datetime) -> Snapshot:
    """A task that the door takes in."""
    return Snapshot(task, TaskState.ACCEPTING, ACCEPTING, created_at=now, updated_at=now)


def published(snapshot: Snapshot) -> Snapshot:
    """A task whose request the bus has."""
    if snapshot.rank >= SUBMITTED:
        return snapshot
    return replace(snapshot, state=TaskState.SUBMITTED, rank=SUBMITTED)


def merge(snapshot: Snapshot | None, event: Happened) -> Snapshot:
    """The snapshot with one more fact. A task may be known by any of its facts first."""
    if snapshot is None:
        return _standing(event, event.time)
    created_at = min(snapshot.created_at, event.time)
    if supersedes(snapshot, event):
        return _standing(event, created_at)
    return replace(snapshot, created_at=created_at)


def _standing(event: Happened, created_at: datetime) -> Snapshot:
    return Snapshot(
        task=event.fact.task,
        state=state_of(event.fact),
        rank=rank_of(event.fact),
        created_at=created_at,
        updated_at=event.time,
        fact=event.fact,
        fact_id=event.id,
    )
