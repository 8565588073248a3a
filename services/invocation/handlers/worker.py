"""The worker of one process: claims what it has room for, executes it, and says how it ended."""

import asyncio
from collections.abc import Iterable
from functools import partial

import structlog

from interlock.contracts.task import Task
from interlock.errors import Unavailable
from services.invocation import decide
from services.invocation.handlers.around import Around
from services.invocation.handlers.attempt import Attempts
from services.invocation.handlers.ends import Ends
from services.invocation.handlers.holding import Claim, Holding
from services.invocation.handlers.results import Results
from services.invocation.handlers.room import Room
from services.invocation.model import (
    Call,
    Control,
    How,
    Job,
    Lease,
    Try,
    Unfit,
    Upstream,
)
from services.invocation.store import Claimed, Wanted

log = structlog.get_logger()
LOOK_SECONDS = 1.0
"""How often rows that others left are looked for."""
BEAT_SECONDS = 0.25
"""Between two heartbeats, and so the longest that a control from elsewhere takes."""
LAST_SECONDS = 5.0
"""For what was interrupted to be written down."""


class Worker:
    """Holds leases, as many as the limits allow. Nothing of it outlives `drain`."""

    def __init__(self, around: Around, ends: Ends) -> None:
        self._around = around
        self._ends = ends
        self.room = Room(around.limits)
        self._attempts = Attempts(around, ends, self.room)
        self._results = Results(around, ends, self.room)
        self._held: dict[Lease, Holding] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[Lease] = set()
        self._claiming: asyncio.Future[bool] | None = None
        self._used = False
        self._stopping = False

    # -- claiming -------------------------------------------------------------------------------

    def reserve(self, upstream: Upstream) -> bool:
        """Take room for one call that is about to be accepted.

        Where there is none, the row is left ready, and claimed when its turn comes.
        """
        if self._stopping or not self._around.published.fresh:
            return False
        return self.room.take(upstream)

    @property
    def busy(self) -> bool:
        """Whether anything is in hand."""
        return bool(self._tasks)

    def holds(self, lease: Lease) -> bool:
        """Whether it is in hand."""
        return lease in self._held

    def began(self, lease: Lease) -> bool:
        """Whether its call was made, and nothing was written since."""
        return lease in self._begun

    async def run(self) -> None:
        """Claim whenever there is room and work, until cancelled. A claim under way ends first."""
        clock = asyncio.get_running_loop().time
        looked = clock()
        while True:
            self._claiming = asyncio.ensure_future(self._claim())
            if not await asyncio.shield(self._claiming):
                await self.room.changed(LOOK_SECONDS)
            if clock() - looked >= LOOK_SECONDS:
                looked = clock()
                self.room.expect_anything()

    async def _claim(self) -> bool:
        """Whether another claim may get more."""
        around = self._around
        if self._stopping or not around.published.fresh:
            return False
        free = self.room.free()
        if free is None:
            return False
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[bool] = loop.create_future()
        claim = Claim(loop.time(), kept)
        per_server = around.limits.per_server
        wanted = Wanted(
            around.owner, free.most, free.room, per_server, around.now(), only=free.only
        )
        try:
            claimed = await around.journal.claim(wanted, partial(self._begin, claim))
        except BaseException:
            self.room.expect_anything()
            kept.set_result(False)
            raise
        kept.set_result(True)
        return claimed.more and bool(claimed.jobs)

    def _begin(self, claim: Claim, claimed: Claimed) -> None:
        """Execute what was claimed; from here on the rest counts as left."""
        for job in claimed.jobs:
            self.room.fill(job.upstream)
            self.start(job, claim)
        for upstream in claimed.left:
            self.room.expect(upstream)
        if claimed.more:
            self.room.expect_anything()

    def start(self, job: Job, claim: Claim) -> None:
        """Execute a job whose lease is ours, and for which room was taken."""
        holding = Holding(job, claim)
        self._held[job.lease] = holding
        self._used = True
        task = asyncio.create_task(self._execute(holding))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("execution.failed", exc_info=error)

    # -- executing ------------------------------------------------------------------------------

    async def _execute(self, holding: Holding) -> None:
        try:
            await self._handle(holding)
        finally:
            self._held.pop(holding.job.lease, None)
            self.room.release(holding.job.upstream)

    async def _handle(self, holding: Holding) -> None:
        job = holding.job
        try:
            found = await self._look(holding)
        except Unavailable as error:
            log.warning("execution.postponed", task_id=job.task.id, why=error.detail)
            await self._ends.give_back(job)
            return
        if found is None:
            log.warning("lease.lost", task_id=job.task.id, fence=job.lease.fence)
        elif isinstance(found, Unfit):
            outcome = decide.failed(job.task, found, job.attempts)
            await self._ends.conclude(self._ends.end(job, outcome))
        elif holding.interrupted or not await _may_be_made(found, holding):
            await self._ends.give_back(job)
        else:
            await self._call(holding, found)

    async def _look(self, holding: Holding) -> Call | Unfit | None:
        """What to call, why not, or None where the lease may not be ours any more.

        A *no* is final only after the newest published state was seen.
        """
        around, job = self._around, holding.job
        found = decide.look(job, around.published.world(job.task), around.now())
        if isinstance(found, Unfit) and found.code != "expired":
            await around.published.confirm()
            found = decide.look(job, around.published.world(job.task), around.now())
        age = asyncio.get_running_loop().time() - holding.claim.since
        if age >= around.limits.lease_seconds and await around.journal.leased(job.lease) is None:
            return None
        return found

    async def _call(self, holding: Holding, call: Call) -> None:
        job = holding.job
        self._begun.add(job.lease)
        if holding.control is not None:
            tried, seconds = Try(How.NOT_SENT, "cancelled before the call"), 0.0
        else:
            tried, seconds = await self._attempts.make(holding, call)
        tried = decide.bounded(tried, self._around.limits)
        written = await self._results.write(holding, call, tried, seconds)
        if written.control is not None:
            holding.control = written.control
            await self._results.write(holding, call, tried, seconds)
        self._begun.discard(job.lease)

    # -- heartbeat and controls -----------------------------------------------------------------

    async def beats(self) -> None:
        """Show life while anything is held, and hear what is to stop, until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self.beat()

    async def beat(self) -> None:
        """One heartbeat, if one is due. A database that is away is waited for elsewhere."""
        if not self._held and not self._used:
            return
        self._used = False
        try:
            controls = await self._around.journal.beat(self._around.owner)
            asking = any(holding.asks for holding in self._held.values())
            answers = await self._around.journal.answered(self._around.owner) if asking else {}
        except Unavailable as error:
            log.warning("heartbeat.missed", why=error.detail)
            return
        for lease, control in controls.items():
            self.stop(lease, control)
        for lease, (task, given) in answers.items():
            self.give(lease, task, given)

    def stop(self, lease: Lease, control: Control) -> None:
        """Stop a task, if it is in hand here and was not told before."""
        holding = self._held.get(lease)
        if holding is not None and holding.control is None:
            holding.stop(control)

    def give(self, lease: Lease, task: Task, given: str) -> None:
        """Input for a call that is in hand here, if it was not given before."""
        holding = self._held.get(lease)
        if holding is not None and task.round > holding.job.task.round:
            holding.answer(task, given)
            if holding.asks:
                again = asyncio.create_task(self._attempts.ask_again(holding))
                self._tasks.add(again)
                again.add_done_callback(self._ended)

    # -- stopping -------------------------------------------------------------------------------

    def close(self) -> None:
        """Claim nothing more."""
        self._stopping = True

    async def drain(self, seconds: float) -> None:
        """Let calls in hand end; then let go what is left, and give back what was not begun.

        What may be repeated is ready for others afterwards; the rest becomes unknown.
        """
        self.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._claiming is not None:
            await asyncio.wait([self._claiming])
        while self._tasks and loop.time() < until:
            await asyncio.wait(self._tasks, timeout=min(BEAT_SECONDS, until - loop.time()))
            await self.beat()
        for holding in list(self._held.values()):
            holding.stop(None)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_SECONDS)
            for task in late:  # the database is away: others find their leases
                task.cancel()
        try:
            await self._give_back(await self._around.journal.leases())
            await self._ends.idle()
            await self._ends.mark()
            await self._around.journal.retire(self._around.owner)
        except Unavailable as error:
            log.warning("drain.incomplete", why=error.detail)

    async def _give_back(self, leases: Iterable[Lease]) -> None:
        """Leases of ours that never got into our hands: their call was not made."""
        for lease in leases:
            mine = lease.owner == self._around.owner
            if mine and not self.holds(lease) and not self.began(lease):
                found = await self._around.journal.leased(lease)
                if found is not None:
                    await self._ends.give_back(found[0])


async def _may_be_made(call: Call, holding: Holding) -> bool:
    """A call that may not be repeated is made only under a claim that survives a power cut.

    One that may be repeated need not wait: if the claim is lost, so is its acknowledgement.
    """
    return call.repeatable or holding.claim.kept is None or await holding.claim.kept
