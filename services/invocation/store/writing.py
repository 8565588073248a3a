"""Every change of a row, fenced: what a lost lease writes changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, update

from interlock.bus import Raw
from interlock.contracts.outcomes import Attempt, Settlement
from interlock.contracts.task import TaskState
from interlock.storage.hot import Hot, InsertNew
from interlock.storage.statements import any_of
from services.invocation.model import Asks, Control, Job, Key, Lease, State
from services.invocation.store.rows import (
    Entry,
    Known,
    attempts_text,
    control_of,
    control_text,
    known,
    outcome_columns,
    values,
)
from services.invocation.store.tables import (
    IS_CLAIMED,
    IS_ENDED,
    IS_READY,
    IS_WAITING,
    JOURNAL,
    KEY,
)


@dataclass(frozen=True)
class Late:
    """What the same end says if its lease was lost and the task given up as unknown."""

    settled_as: Settlement
    raw: Raw


@dataclass(frozen=True)
class End:
    """The task's end, and the message that states it."""

    job: Job
    ended_as: TaskState
    raw: Raw
    attempts: tuple[Attempt, ...]
    at: datetime
    late: Late | None = None


@dataclass(frozen=True)
class Back:
    """The row is ready again."""

    job: Job
    attempt: int
    """The last attempt that was begun."""
    attempts: tuple[Attempt, ...]
    not_before: datetime


@dataclass(frozen=True)
class Pause:
    """The row waits for input, and the message that asks for it."""

    job: Job
    asks: Asks
    raw: Raw
    attempts: tuple[Attempt, ...]
    at: datetime


@dataclass(frozen=True)
class Question:
    """A call that goes on wants to know something; the message says all that it wants to know."""

    job: Job
    requests: str
    raw: Raw
    at: datetime


Write = End | Back | Pause | Question


@dataclass(frozen=True)
class Written:
    """What became of a write."""

    done: bool = False
    settled: bool = False
    """The lease was lost, and the answer settled the task."""
    control: Control | None = None
    """Why a row did not go back: it is to be stopped."""


@dataclass(frozen=True)
class Told:
    """A row whose messages are on the bus."""

    key: Key
    settled: bool = False
    """Its settlement among them."""
    asked: str | None = None
    """The id of the one that asks for input, where it is that one and no end."""


def insert_entries(connection: Connection, entries: Sequence[Entry]) -> list[Known | None]:
    """Insert each whose key is free. For each: None where it was new, else what was there before.

    Of entries with one key the first counts as new.
    """
    new = _INSERT(connection, [values(entry) for entry in entries])
    told = list(zip(entries, new, strict=True))
    found = find(connection, {entry.key for entry, is_new in told if not is_new})
    answers: list[Known | None] = []
    for entry, is_new in told:
        answers.append(None if is_new else _leave_control(connection, entry, found[entry.key]))
    return answers


_INSERT = InsertNew(JOURNAL, ("tenant", "task_id"))


def find(connection: Connection, keys: set[Key]) -> dict[Key, Known]:
    """The rows of `keys`, those that exist."""
    if not keys:
        return {}
    rows = connection.execute(select(JOURNAL).where(any_of(KEY, sorted(keys))))
    return {(row.tenant, row.task_id): known(row) for row in rows}


def _leave_control(connection: Connection, entry: Entry, there: Known) -> Known:
    """Say on a claimed row that it is to stop. How the row is then.

    It may be given back, or claimed again, between a look at it and that: then it is looked at
    again, or nobody would ever hear of it.
    """
    while entry.control and there.state is State.CLAIMED and not there.differs(entry.task):
        fence = there.job.lease.fence
        left = connection.execute(
            update(JOURNAL)
            .where(*_is(entry.key), JOURNAL.c.fence == fence)
            .where(IS_CLAIMED, JOURNAL.c.control.is_(None))
            .values(control=control_text(entry.control))
        )
        if left.rowcount == 1:
            break
        there = find(connection, {entry.key})[entry.key]
        if there.job.lease.fence == fence and there.state is State.CLAIMED:
            break  # it was told to stop before
    return there


def write_all(connection: Connection, writes: Sequence[Write]) -> list[Written]:
    """All of them."""
    return [_write(connection, one) for one in writes]


def _write(connection: Connection, write: Write) -> Written:
    if isinstance(write, End):
        return _end(connection, write)
    lease = write.job.lease
    changes = _changes(write)
    if connection.execute(_HELD_FREELY, _named(lease) | changes).rowcount == 1:
        return Written(done=True)
    return Written(control=control_of(connection.execute(_CONTROL, _named(lease)).scalar()))


def _end(connection: Connection, end: End) -> Written:
    lease = end.job.lease
    ended = {
        "state": State.ENDED.value,
        "owner": None,
        "ended_at": end.at,
        "ended_as": end.ended_as.value,
        "attempts": attempts_text(end.attempts),
        **outcome_columns("outcome", end.raw),
    }
    if _held(lease).changed(connection, [_named(lease) | ended]) == [True]:
        return Written(done=True)
    if end.late is not None and settle(connection, lease.key, end.late):
        return Written(settled=True)
    return Written()


def _changes(write: Back | Pause | Question) -> dict[str, Any]:
    if isinstance(write, Back):
        return {
            "state": State.READY.value,
            "owner": None,
            "attempt": write.attempt,
            "attempts": attempts_text(write.attempts),
            "not_before": write.not_before,
            "asked": None,
            "answers": None,
        }
    if isinstance(write, Question):
        return {"asked": write.requests, "answers": None, **untold(write.raw, write.at)}
    return {
        "state": State.WAITING.value,
        "owner": None,
        "attempts": attempts_text(write.attempts),
        "given": None,
        "request_state": write.asks.request_state,
        "asked": write.asks.requests,
        "answers": None,
        **untold(write.raw, write.at),
    }


def untold(raw: Raw | None, at: datetime) -> dict[str, Any]:
    """The columns of a message that asks for input and has yet to go out."""
    return {
        "untold_id": raw.id if raw else None,
        "untold_at": at if raw else None,
        **outcome_columns("untold", raw),
    }


def _named(lease: Lease) -> dict[str, Any]:
    """The parameters of a lease in the statements below."""
    return {
        "its_tenant": lease.tenant,
        "its_task_id": lease.task_id,
        "its_fence": lease.fence,
        "its_owner": lease.owner,
    }


def _held(lease: Lease) -> Hot:
    """Ends a row while the lease is still that: held by its owner, or by nobody."""
    return _END_OF_NOBODY_S if lease.owner is None else _END


_ROW = (
    JOURNAL.c.tenant == bindparam("its_tenant"),
    JOURNAL.c.task_id == bindparam("its_task_id"),
    JOURNAL.c.fence == bindparam("its_fence"),
)
_OWNED = (*_ROW, IS_CLAIMED, JOURNAL.c.owner == bindparam("its_owner"))
# Built once: putting a statement together costs more than running it.
_HELD = update(JOURNAL).where(*_OWNED)
_HELD_FREELY = _HELD.where(JOURNAL.c.control.is_(None))
_HELD_BY_NOBODY = update(JOURNAL).where(*_ROW, or_(IS_READY, IS_WAITING))
_END, _END_OF_NOBODY_S = Hot(_HELD), Hot(_HELD_BY_NOBODY)
_CONTROL = select(JOURNAL.c.control).where(*_OWNED)


def settle(connection: Connection, key: Key, late: Late) -> bool:
    """Say how an unknown task had ended, once. Both of its messages then go out (again)."""
    settled = connection.execute(
        update(JOURNAL)
        .where(
            *_is(key),
            IS_ENDED,
            JOURNAL.c.ended_as == TaskState.UNKNOWN.value,
            JOURNAL.c.settled_as.is_(None),
        )
        .values(
            settled_as=late.settled_as.value,
            published_at=None,
            **outcome_columns("settlement", late.raw),
        )
    )
    return settled.rowcount == 1


def mark_published(connection: Connection, told: Sequence[Told], now: datetime) -> None:
    """These went out. A settlement that came meanwhile did not, so its row stays as it is."""
    for statement, settled in ((_WENT, False), (_WENT_SETTLED, True)):
        rows = [
            {"its_tenant": one.key[0], "its_task_id": one.key[1], "published_at": now}
            for one in told
            if one.settled is settled and one.asked is None
        ]
        statement.run(connection, rows)
    for one in told:
        if one.asked is not None:
            connection.execute(
                update(JOURNAL)
                .where(*_is(one.key), JOURNAL.c.untold_id == one.asked)
                .values(untold(None, now))
            )


_WENT = Hot(update(JOURNAL).where(*_ROW[:2], JOURNAL.c.settled_as.is_(None)))
_WENT_SETTLED = Hot(update(JOURNAL).where(*_ROW[:2], JOURNAL.c.settled_as.is_not(None)))


def _is(key: Key) -> tuple[ColumnElement[bool], ...]:
    return JOURNAL.c.tenant == key[0], JOURNAL.c.task_id == key[1]
