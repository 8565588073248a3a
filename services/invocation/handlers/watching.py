"""Taking care of rows whose holder is gone, whose deadline passed, or that nobody needs."""

from collections.abc import Callable
from datetime import timedelta

import structlog

from services.invocation import decide
from services.invocation.decide import Pulse
from services.invocation.handlers.around import Around
from services.invocation.handlers.ends import MOST, Ends
from services.invocation.handlers.worker import Worker
from services.invocation.model import Again, Control, How, Job, Lease, Outcome, Terms, Try, Wait

log = structlog.get_logger()


class Watching:
    """One process's look at the whole journal. Any number of processes may look at once."""

    def __init__(
        self, around: Around, ends: Ends, worker: Worker, clock: Callable[[], float]
    ) -> None:
        self._around = around
        self._ends = ends
        self._worker = worker
        self._clock = clock
        self._seen: dict[Lease, Pulse] = {}
        self._looked = clock()

    async def leases(self) -> None:
        """Take over from holders that have not moved for `lease_seconds` of our own clock.

        Of our own leases those that we know of live, however slow the database is; others are left
        of a claim whose answer was lost.
        """
        if not self._around.published.fresh:
            return
        clock = self._clock()
        beats = await self._around.journal.leases()
        others = {
            lease: None if lease.owner == self._around.owner else beat
            for lease, beat in beats.items()
            if not self._worker.holds(lease)
        }
        if clock - self._looked >= self._around.limits.lease_seconds / 2:
            self._seen = {}  # we did not look all the time: what kept us may have kept them
        self._looked = clock
        self._seen = decide.watch(self._seen, others, clock)
        dead = decide.dead(self._seen, clock, self._around.limits)
        if dead:
            await self._around.published.confirm()
        for lease in dead:
            await self._recover(lease)

    async def _recover(self, lease: Lease) -> None:
        found = await self._around.journal.leased(lease)
        if found is None or self._worker.holds(lease):
            return
        job, control = found
        if lease.owner == self._around.owner and not self._worker.began(lease):
            await self._ends.give_back(job)
            return
        next_ = self._given_up(job, control)
        log.warning("lease.recovered", task_id=job.task.id, owner=lease.owner, fence=lease.fence)
        if isinstance(next_, Again):
            await self._ends.keep(self._ends.back(job, next_))
        else:
            await self._ends.conclude(self._ends.end(job, next_))
        self._worker.room.expect(job.upstream)

    def _given_up(self, job: Job, control: Control | None) -> Outcome | Again:
        around = self._around
        now = around.now()
        terms = Terms(
            repeatable=decide.repeatable(job, around.published.world(job.task)),
            most_attempts=around.limits.attempts,
            pause=decide.pause(job.attempt, around.chance(), around.limits),
            control=control,
        )
        lost = Try(How.LOST, "the process that made the call is gone")
        found = decide.after(job, lost, (now - job.claimed_at).total_seconds(), terms, now)
        assert not isinstance(found, Wait), "who is gone asks nothing"
        return found

    async def deadlines(self) -> None:
        """End what nobody claimed in time."""
        now = self._around.now()
        for job in await self._around.journal.overdue(now, MOST):
            outcome = decide.failed(job.task, decide.expired(job.task), job.attempts)
            await self._ends.conclude(self._ends.end(job, outcome))

    async def forget(self) -> None:
        """Delete what ended long ago."""
        keep = timedelta(days=self._around.limits.keep_days)
        await self._around.journal.forget(self._around.now() - keep)
