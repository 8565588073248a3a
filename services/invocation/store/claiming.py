"""Who holds what: claims, heartbeats and the leases that observers watch."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    select,
    true,
    tuple_,
    update,
)

from interlock.contracts.ids import TaskId
from interlock.contracts.task import Task
from interlock.storage.hot import Hot
from interlock.storage.statements import insert_or
from services.invocation.decide import choose
from services.invocation.model import Control, Job, Lease, State, Upstream
from services.invocation.store.rows import control_of, job_of, lease_of
from services.invocation.store.tables import (
    IS_CLAIMED,
    IS_READY,
    JOURNAL,
    KEY,
    WORKERS,
)

SERVER = tuple_(JOURNAL.c.tenant, JOURNAL.c.server)
# Run four times a second.
_BEAT = Hot(insert_or(WORKERS, ["owner"], {"beat": WORKERS.c.beat + 1}))
_CONTROLS = Hot(
    select(*KEY, JOURNAL.c.owner, JOURNAL.c.fence, JOURNAL.c.control).where(
        IS_CLAIMED, JOURNAL.c.owner == bindparam("by"), JOURNAL.c.control.is_not(None)
    )
)
_LEASES = Hot(
    select(*KEY, JOURNAL.c.owner, JOURNAL.c.fence, WORKERS.c.beat)
    .select_from(JOURNAL)
    .outerjoin(WORKERS, WORKERS.c.owner == JOURNAL.c.owner)
    .where(IS_CLAIMED)
)


@dataclass(frozen=True)
class Wanted:
    """What one process has room for."""

    owner: str
    most: int
    room: Mapping[Upstream, int]
    """Where it is not `per_server`."""
    per_server: int
    now: datetime
    only: Set[Upstream] | None = None
    """The upstreams of interest; None: all that are not full."""


@dataclass(frozen=True)
class Claimed:
    """What it got."""

    jobs: Sequence[Job]
    left: Set[Upstream]
    """Upstreams of which rows were seen that there was no room for."""
    more: bool
    """Whether there may be rows that were not even seen."""


def claim(connection: Connection, wanted: Wanted) -> Claimed:
    """Claim the oldest ready rows that there is room for. What others claim just now is skipped.

    Where the upstreams of interest are known, no more rows are read than each has room for: a deep
    backlog costs no more than a shallow one, and none hides another's.
    """
    rows: dict[tuple[str, TaskId], Row[Any]] = {}
    left: set[Upstream] = set()
    if wanted.only is None:
        full = sorted(one for one, free in wanted.room.items() if free <= 0)
        rows = _ready(connection, wanted, SERVER.not_in(full) if full else true(), wanted.most)
    for upstream in sorted(wanted.only or ()):
        room = min(wanted.room.get(upstream, wanted.per_server), wanted.most - len(rows))
        found = _ready(connection, wanted, SERVER == upstream, room) if room > 0 else {}
        rows |= found
        if len(found) >= room:
            left.add(upstream)
    waiting = [(key, _upstream(row)) for key, row in rows.items()]
    chosen = choose(waiting, wanted.room, wanted.per_server)
    if chosen:
        connection.execute(
            update(JOURNAL)
            .where(tuple_(*KEY).in_(chosen))
            .values(
                state=State.CLAIMED.value,
                owner=wanted.owner,
                fence=JOURNAL.c.fence + 1,
                attempt=JOURNAL.c.attempt + 1,
                claimed_at=wanted.now,
            )
        )
    taken = set(chosen)
    jobs = [_claimed(job_of(rows[key]), wanted) for key in chosen]
    left |= {upstream for key, upstream in waiting if key not in taken}
    return Claimed(jobs, left, more=wanted.only is None and len(rows) == wanted.most)


def _ready(
    connection: Connection, wanted: Wanted, of: ColumnElement[bool], most: int
) -> dict[tuple[str, TaskId], Row[Any]]:
    """The oldest rows that may be claimed now, by tenant and task."""
    statement = (
        select(JOURNAL)
        .where(IS_READY, JOURNAL.c.not_before <= wanted.now, JOURNAL.c.deadline > wanted.now, of)
        .order_by(JOURNAL.c.not_before)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return {(row.tenant, row.task_id): row for row in connection.execute(statement)}


def _upstream(row: Row[Any]) -> Upstream:
    return row.tenant, row.server


def _claimed(job: Job, wanted: Wanted) -> Job:
    """The job as the update has left it."""
    was = job.lease
    lease = replace(was, owner=wanted.owner, fence=was.fence + 1)
    return replace(job, lease=lease, attempt=job.attempt + 1, claimed_at=wanted.now)


def beat(connection: Connection, owner: str) -> dict[Lease, Control]:
    """Show life, and read which of the owner's tasks are to stop."""
    _BEAT.run(connection, [{"owner": owner, "beat": 1}])
    found = _CONTROLS.found(connection, {"by": owner})
    controls = {Lease(*lease): control_of(text) for *lease, text in found}
    return {lease: control for lease, control in controls.items() if control is not None}


def answered(connection: Connection, owner: str) -> dict[Lease, tuple[Task, str]]:
    """Of the owner's calls that wait for input, those that were given some: header and answers."""
    rows = connection.execute(
        select(*KEY, JOURNAL.c.owner, JOURNAL.c.fence, JOURNAL.c.header, JOURNAL.c.answers).where(
            IS_CLAIMED, JOURNAL.c.owner == owner, JOURNAL.c.answers.is_not(None)
        )
    )
    return {lease_of(row): (Task.model_validate_json(row.header), row.answers) for row in rows}


def retire(connection: Connection, owner: str) -> None:
    """Forget the heartbeat of a process that holds nothing and will claim nothing more."""
    connection.execute(delete(WORKERS).where(WORKERS.c.owner == owner))


def leases(connection: Connection) -> dict[Lease, int | None]:
    """All leases, each with its holder's counter; None where its holder never showed life."""
    return {Lease(*lease): beat for *lease, beat in _LEASES.found(connection, {})}


def leased(connection: Connection, lease: Lease) -> tuple[Job, Control | None] | None:
    """The job under a lease, and what is to become of it; None where the lease is over."""
    row = connection.execute(
        select(JOURNAL).where(
            JOURNAL.c.tenant == lease.tenant,
            JOURNAL.c.task_id == lease.task_id,
            JOURNAL.c.fence == lease.fence,
            JOURNAL.c.owner == lease.owner,
            IS_CLAIMED,
        )
    ).first()
    return None if row is None else (job_of(row), control_of(row.control))
