"""Who holds what: claims, heartbeats and the leases that observers watch."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, bindparam, delete, select, tuple_, update

from interlock.contracts.ids import TaskId
from interlock.contracts.task import Task
from interlock.storage.columns import UtcDateTime
from interlock.storage.hot import Hot
from interlock.storage.statements import insert_or
from services.invocation.decide import choose
from services.invocation.model import Control, Job, Lease, State, Upstream
from services.invocation.store.rows import JobRow, control_of, job_of, lease_of
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
_NOW = bindparam("now", type_=UtcDateTime)
_DUE = (
    select(*KEY, JOURNAL.c.server)
    .where(IS_READY, JOURNAL.c.not_before <= _NOW, JOURNAL.c.deadline > _NOW)
    .order_by(JOURNAL.c.not_before)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_DUE_THERE = _DUE.where(
    JOURNAL.c.tenant == bindparam("its_tenant"), JOURNAL.c.server == bindparam("its_server")
).cte("due")
_TAKE = Hot(
    update(JOURNAL)
    .where(JOURNAL.c.tenant == _DUE_THERE.c.tenant, JOURNAL.c.task_id == _DUE_THERE.c.task_id)
    .values(
        state=State.CLAIMED.value,
        owner=bindparam("by"),
        fence=JOURNAL.c.fence + 1,
        attempt=JOURNAL.c.attempt + 1,
        claimed_at=_NOW,
    )
    .returning(*(JOURNAL.c[name] for name in JobRow._fields))
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
    if wanted.only is None:
        return _anywhere(connection, wanted)
    jobs: list[Job] = []
    left: set[Upstream] = set()
    for upstream in sorted(wanted.only):
        room = min(wanted.room.get(upstream, wanted.per_server), wanted.most - len(jobs))
        found = _of(connection, wanted, upstream, room) if room > 0 else []
        jobs += found
        if len(found) >= room:
            left.add(upstream)
    return Claimed(jobs, left, more=False)


def _of(connection: Connection, wanted: Wanted, upstream: Upstream, room: int) -> list[Job]:
    """Claim the oldest rows of one upstream, in one statement."""
    tenant, server = upstream
    its = {"its_tenant": tenant, "its_server": server, "most": room}
    found = _TAKE.found(connection, {"by": wanted.owner, "now": wanted.now, **its})
    rows = sorted(map(JobRow._make, found), key=lambda row: (row.not_before, row.task_id))
    return [job_of(row) for row in rows]


def _anywhere(connection: Connection, wanted: Wanted) -> Claimed:
    """The oldest of all rows, those of full upstreams excepted."""
    full = sorted(one for one, free in wanted.room.items() if free <= 0)
    due = _DUE.where(SERVER.not_in(full)) if full else _DUE
    now = {"now": wanted.now, "most": wanted.most}
    waiting = [
        ((tenant, TaskId(task_id)), (tenant, server))
        for tenant, task_id, server in connection.execute(due, now)
    ]
    chosen = set(choose(waiting, wanted.room, wanted.per_server))
    jobs: list[Job] = []
    for upstream, room in Counter(its for key, its in waiting if key in chosen).items():
        jobs += _of(connection, wanted, upstream, room)
    left = {upstream for key, upstream in waiting if key not in chosen}
    return Claimed(jobs, left, more=len(waiting) == wanted.most)


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
