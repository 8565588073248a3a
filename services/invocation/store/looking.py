"""What is asked of the journal: by its sweepers, its relay, its metrics and its door."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select

from interlock.bus import Raw
from interlock.contracts.outcomes import Attempt
from interlock.contracts.task import Task, TaskState
from interlock.contracts.topics import Topic
from services.invocation.model import Job, Key, State
from services.invocation.store.rows import AnyRow, attempts_of, job_of, told
from services.invocation.store.tables import (
    IS_CLAIMED,
    IS_ENDED,
    IS_READY,
    IS_WAITING,
    JOURNAL,
    KEY,
    WORKERS,
)
from services.invocation.store.writing import Told

STATES = {
    State.READY: IS_READY,
    State.CLAIMED: IS_CLAIMED,
    State.WAITING: IS_WAITING,
    State.ENDED: IS_ENDED,
}


@dataclass(frozen=True)
class Page:
    """One task as the door shows it."""

    task: Task
    state: State
    owner: str | None
    attempt: int
    attempts: tuple[Attempt, ...]
    accepted_at: datetime
    claimed_at: datetime | None
    not_before: datetime
    ended_at: datetime | None
    ended_as: str | None
    settled_as: str | None
    published: bool
    cancelling: bool


@dataclass(frozen=True)
class Waiting:
    """How much work waits."""

    ready: int
    claimed: int
    oldest: datetime | None


def overdue(connection: Connection, now: datetime, limit: int) -> list[Job]:
    """Tasks that nobody claimed, or gave input to, before their deadline."""
    rows = [
        row
        for state in (IS_READY, IS_WAITING)
        for row in connection.execute(
            select(JOURNAL).where(state, JOURNAL.c.deadline <= now).limit(limit)
        )
    ]
    return [job_of(row) for row in rows]


def unpublished(
    connection: Connection, before: datetime, limit: int
) -> list[tuple[Told, tuple[Raw, ...]]]:
    """Messages of tasks that ended, or asked, before that moment and have yet to go out."""
    rows = connection.execute(
        select(
            *KEY,
            JOURNAL.c.outcome_attributes,
            JOURNAL.c.outcome_body,
            JOURNAL.c.settled_as,
            JOURNAL.c.settlement_attributes,
            JOURNAL.c.settlement_body,
        )
        .where(IS_ENDED, JOURNAL.c.published_at.is_(None), JOURNAL.c.ended_at <= before)
        .order_by(JOURNAL.c.ended_at)
        .limit(limit)
    )
    ended = [
        (Told((row.tenant, row.task_id), row.settled_as is not None), told(row)) for row in rows
    ]
    return ended or _questions(connection, before, limit)


def _questions(
    connection: Connection, before: datetime, limit: int
) -> list[tuple[Told, tuple[Raw, ...]]]:
    rows = connection.execute(
        select(*KEY, JOURNAL.c.untold_id, JOURNAL.c.untold_attributes, JOURNAL.c.untold_body)
        .where(JOURNAL.c.untold_at.is_not(None), JOURNAL.c.untold_at <= before)
        .order_by(JOURNAL.c.untold_at)
        .limit(limit)
    )
    return [
        (
            Told((row.tenant, row.task_id), asked=row.untold_id),
            (Raw(Topic.TASK_EVENTS, row.untold_attributes, row.untold_body),),
        )
        for row in rows
    ]


def waiting(connection: Connection) -> Waiting:
    """The journal's backlog."""
    ready, oldest = connection.execute(
        select(func.count(), func.min(JOURNAL.c.accepted_at)).where(IS_READY)
    ).one()
    claimed = connection.execute(
        select(func.count()).select_from(JOURNAL).where(IS_CLAIMED)
    ).scalar_one()
    return Waiting(ready, claimed, oldest)


def forget(connection: Connection, before: datetime) -> None:
    """Delete what ended and was told before that moment, unknowns that nobody settled excepted.

    By then its deadline has passed, so whatever authorization still comes is stated as expired.
    """
    connection.execute(
        delete(JOURNAL).where(
            IS_ENDED,
            JOURNAL.c.published_at < before,
            JOURNAL.c.deadline < before,
            or_(JOURNAL.c.ended_as != TaskState.UNKNOWN.value, JOURNAL.c.settled_as.is_not(None)),
        )
    )
    holders = select(JOURNAL.c.owner).where(IS_CLAIMED)
    connection.execute(delete(WORKERS).where(WORKERS.c.owner.not_in(holders)))


def page(connection: Connection, tenant: str, state: State | None, limit: int) -> Sequence[Page]:
    """A tenant's tasks, newest first."""
    of: list[ColumnElement[bool]] = [JOURNAL.c.tenant == tenant, JOURNAL.c.arguments.is_not(None)]
    if state is not None:
        of.append(STATES[state])
    statement = (
        select(JOURNAL)
        .where(*of)
        .order_by(JOURNAL.c.accepted_at.desc(), JOURNAL.c.task_id)
        .limit(limit)
    )
    return [_page(row) for row in connection.execute(statement)]


def shown(connection: Connection, key: Key) -> tuple[Page, tuple[Raw, ...]] | None:
    """One task, and what was stated of its end."""
    row = connection.execute(
        select(JOURNAL).where(JOURNAL.c.tenant == key[0], JOURNAL.c.task_id == key[1])
    ).first()
    return None if row is None else (_page(row), told(row))


def _page(row: AnyRow) -> Page:
    return Page(
        task=Task.model_validate_json(row.header),
        state=State(row.state),
        owner=row.owner,
        attempt=row.attempt,
        attempts=attempts_of(row.attempts),
        accepted_at=row.accepted_at,
        claimed_at=row.claimed_at,
        not_before=row.not_before,
        ended_at=row.ended_at,
        ended_as=row.ended_as,
        settled_as=row.settled_as,
        published=row.published_at is not None,
        cancelling=row.control is not None,
    )
