"""How rows end: kept first, many in one transaction, then told, many in one publication."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from interlock.bus import Raw
from interlock.contracts.outcomes import TaskDenied, TaskInputRequired, TaskLogged, TaskSettled
from interlock.errors import Unavailable
from services.invocation import decide
from services.invocation.handlers.around import Around, ended_as
from services.invocation.handlers.combine import Combined
from services.invocation.model import Again, Job, Outcome, Wait
from services.invocation.store import Back, End, Late, Pause, Question, Told, Write, Written

log = structlog.get_logger()
MOST = 256
"""Rows in one transaction."""
AWAY_SECONDS = 0.25
"""Pause while the database is away; an outcome is worth waiting for."""
OWN_SECONDS = 5.0
"""Whoever ended a row has so long to tell it, before others do."""


@dataclass(frozen=True)
class _Telling:
    raws: Sequence[Raw]
    told: Told | None = None


class Ends:
    """Writes what became of rows, and states it."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._keep = Combined(around.journal.write, MOST)
        self._tell = Combined(self._published, MOST)
        self._told: list[Told] = []
        self._asides: set[asyncio.Future[None]] = set()
        self._restarted = True

    # -- keeping --------------------------------------------------------------------------------

    async def keep(self, write: Write) -> Written:
        """Durable when this returns, however long the database is away."""
        while True:
            try:
                return await self._keep(write)
            except Unavailable as error:
                log.warning("journal.unavailable", why=error.detail)
                await asyncio.sleep(AWAY_SECONDS)

    def end(self, job: Job, outcome: Outcome, late: TaskSettled | None = None) -> End:
        """The end of a job; `late` is what the same answer says should its lease be lost."""
        raw = self._around.state(job, outcome)
        attempts = job.attempts if isinstance(outcome, TaskDenied) else outcome.attempts
        return End(
            job=job,
            ended_as=ended_as(outcome),
            raw=raw,
            attempts=attempts,
            at=self._around.now(),
            late=None if late is None else Late(late.outcome, self._around.state(job, late)),
        )

    def back(self, job: Job, again: Again) -> Back:
        """Another attempt later."""
        return Back(job, job.attempt, again.attempts, again.not_before)

    def unused(self, job: Job) -> Back:
        """The lease is given back; the call was not made."""
        pause = timedelta(seconds=self._around.limits.first_pause)
        return Back(job, job.attempt - 1, job.attempts, self._around.now() + pause)

    async def give_back(self, job: Job) -> None:
        """Let others make the call that was not made, unless somebody cancelled the task."""
        control = (await self.keep(self.unused(job))).control
        if control is not None:
            outcome = decide.stopped(job.task, control, job.attempts)
            await self.conclude(self.end(job, outcome))

    async def pause(self, job: Job, wait: Wait, seq: int, before: Sequence[Raw] = ()) -> Written:
        """Let the row wait for input, and ask for it."""
        raw = self._question(job, wait.asks.requests, seq)
        write = Pause(job, wait.asks, raw, wait.attempts, self._around.now())
        return await self._asked(write, before)

    async def ask(self, job: Job, requests: str, seq: int, before: Sequence[Raw] = ()) -> Written:
        """Ask for input of a call that goes on."""
        raw = self._question(job, requests, seq)
        return await self._asked(Question(job, requests, raw, self._around.now()), before)

    def logged(self, job: Job, entry: str, seq: int, before: Sequence[Raw] = ()) -> None:
        """Pass on what the upstream logged."""
        fact = TaskLogged(task=job.task, attempt=job.attempt, seq=seq, entry=entry)
        self.aside([*before, self._around.state(job, fact, seq)])

    def _question(self, job: Job, requests: str, seq: int) -> Raw:
        fact = TaskInputRequired(task=job.task, attempt=job.attempt, seq=seq, requests=requests)
        return self._around.state(job, fact, seq)

    async def _asked(self, write: Pause | Question, before: Sequence[Raw]) -> Written:
        written = await self.keep(write)
        if written.done:
            self.aside([*before, write.raw], Told(write.job.lease.key, asked=write.raw.id))
        return written

    # -- telling --------------------------------------------------------------------------------

    async def conclude(self, end: End, before: Sequence[Raw] = ()) -> Written:
        """Keep an end, then tell it, with what is to be told before."""
        written = await self.keep(end)
        self.announce(end, written, before)
        return written

    def announce(self, end: End, written: Written, before: Sequence[Raw] = ()) -> None:
        """Tell what was written, without making anybody wait: the relay repeats what gets lost."""
        key = end.job.lease.key
        if written.done:
            self.aside([*before, end.raw], Told(key, settled=False))
        elif written.settled and end.late is not None:
            log.info("task.settled", task_id=end.job.task.id, outcome=end.late.settled_as.value)
            self.aside([*before, end.late.raw], Told(key, settled=True))
        else:
            log.warning("lease.lost", task_id=end.job.task.id, fence=end.job.lease.fence)
            self.aside(before)

    def aside(self, raws: Sequence[Raw], told: Told | None = None) -> None:
        """Publish soon. Without `told` nobody repeats what gets lost."""
        if not raws:
            return
        aside = self._tell.ask(_Telling(raws, told))
        self._asides.add(aside)
        aside.add_done_callback(self._was_told)

    async def tell(self, raws: Sequence[Raw], told: Told) -> None:
        """Publish; `Unavailable` where that fails for now."""
        await self._tell(_Telling(raws, told))

    async def idle(self) -> None:
        """Wait until all that was asked for is written and told, or its telling failed."""
        while self._asides:
            await asyncio.wait(self._asides)
        await self._keep.idle()

    def _was_told(self, aside: "asyncio.Future[None]") -> None:
        self._asides.discard(aside)
        try:
            aside.result()
        except Unavailable as error:
            log.warning("outcome.unpublished", why=error.detail)
        except asyncio.CancelledError:
            log.warning("outcome.unpublished", why="the service was stopped")

    async def _published(self, tellings: Sequence[_Telling]) -> Sequence[None]:
        await self._around.bus.publish([raw for telling in tellings for raw in telling.raws])
        self._told += [telling.told for telling in tellings if telling.told is not None]
        return [None] * len(tellings)

    # -- the relay ------------------------------------------------------------------------------

    async def relay(self) -> None:
        """Publish what ended and was not told: after a restart all of it, later what got lost."""
        await self.mark()
        own = timedelta(0) if self._restarted else timedelta(seconds=OWN_SECONDS)
        while found := await self._around.journal.unpublished(self._around.now() - own, MOST):
            await self._around.bus.publish([raw for _, raws in found for raw in raws])
            self._told += [told for told, _ in found]
            await self.mark()
        self._restarted = False

    async def mark(self) -> None:
        """Write down what went out. After a crash in between it goes out again, under its ids."""
        if not self._told:
            return
        told, self._told = self._told, []
        try:
            await self._around.journal.mark(told, self._around.now())
        except BaseException:
            self._told += told
            raise
