"""What invocation does with messages: it takes work in, and lets it be stopped. It calls nobody."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from interlock.bus import Effects, Envelope, Route, Together, on
from interlock.contracts.requests import (
    AuthorizationExpired,
    CallAuthorized,
    CancelRequested,
    InputDenied,
)
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskFact
from interlock.errors import Early, Forged
from interlock.identity.statements import Trust, require_arguments, verify_grant
from services.invocation import decide
from services.invocation.handlers.around import Around, ended_as
from services.invocation.handlers.ends import Ends
from services.invocation.handlers.holding import Claim
from services.invocation.handlers.worker import Worker
from services.invocation.model import Control, Outcome, Round, State
from services.invocation.store import Entry, Known, Taken, claimed_job


class Intake:
    """The handlers of group `invocation`. `task.control`'s deadlines are policy's to pass on."""

    def __init__(self, around: Around, ends: Ends, worker: Worker, trust: Trust) -> None:
        self._around = around
        self._ends = ends
        self._worker = worker
        self._trust = trust
        self._insert = Together(self._inserted)

    def routes(self) -> Sequence[Route]:
        return [
            on(CallAuthorized, self.accept),
            on(InputDenied, self.deny),
            on(CancelRequested, self.cancel),
            on(AuthorizationExpired, self.expire),
        ]

    async def accept(self, event: Envelope[CallAuthorized]) -> Effects:
        """Take an authorized task, or input for one, into the journal, once.

        `Forged` unless its grant proves it.
        """
        task = event.body.task
        grant = verify_grant(self._trust, event.body.grant, task)
        require_arguments(task, event.body.arguments, event.body.given)
        if event.body.given is not None:
            return await self._give(event, event.body.given)
        entry = Entry(
            task=task,
            at=self._around.now(),
            arguments=event.body.arguments,
            tool_digest=grant.tool_digest,
            cause=event.id,
            traceparent=event.traceparent,
            client=event.body.client,
        )
        if task.deadline <= entry.at:
            entry = self._ended(entry, event, decide.failed(task, decide.expired(task)))
        there = await self._insert(entry)
        return _stated(entry, there)

    async def _give(self, event: Envelope[CallAuthorized], given: str) -> Effects:
        """Input: the call that waits for it is made again, or goes on."""
        task, body = event.body.task, event.body
        more = Round(task, body.arguments, given, event.id, event.traceparent, body.client)
        taken, there = await self._around.journal.give(more, self._around.now())
        if there is None or taken is Taken.EARLY:
            raise _early(task)
        _require_same(there, task)
        if taken is Taken.FORGED:
            raise Forged(f"round `{task.round}` of task `{task.id}` is of another request")
        if taken is Taken.READY:
            self._worker.room.expect(there.job.upstream)
        elif taken is Taken.PASSED_ON:
            self._worker.give(there.job.lease, task, given)
        return there.told

    async def deny(self, event: Envelope[InputDenied]) -> Effects:
        """End a task whose input was denied: policy's word, and our end."""
        task, denied = event.body.task, event.body
        there = await self._around.journal.find((task.tenant, task.id))
        if there is None or there.round + 1 < task.round:
            raise _early(task)
        _require_same(there, task)
        if there.round >= task.round:
            return there.told
        policy = Principal(tenant=task.tenant, kind=PrincipalKind.SERVICE, name="policy")
        control = Control(denied.by or policy, denied.reason, denied)
        return await self._stop(event, control)

    async def cancel(self, event: Envelope[CancelRequested]) -> Effects:
        """Stop a task.

        One that is not here yet never will be: its end is stated when it arrives. One that waits,
        for its turn or for input, ends at once; one that runs is told to whoever runs it.
        """
        return await self._stop(event, Control(event.body.by, event.body.reason))

    async def _stop(
        self, event: Envelope[CancelRequested] | Envelope[InputDenied], control: Control
    ) -> Effects:
        task = event.body.task
        entry = Entry(task, self._around.now(), control=control)
        there = await self._insert(self._ended(entry, event, decide.stopped(task, control)))
        if there is None:
            return []
        _require_same(there, task)
        if there.state is State.CLAIMED:
            self._worker.stop(there.job.lease, control)
        elif there.state is not State.ENDED:
            own = decide.stopped(there.job.task, control, there.job.attempts)
            written = await self._ends.conclude(self._ends.end(there.job, own))
            if not written.done:  # it was claimed meanwhile
                return await self._stop(event, control)
        return []

    async def expire(self, event: Envelope[AuthorizationExpired]) -> Effects:
        """End a task of which nothing was heard, or state its end again.

        One that runs ends by itself: no attempt is given time beyond the deadline.
        """
        task, now = event.body.task, self._around.now()
        if now < task.deadline:
            raise Forged(f"task `{task.id}` is said to have expired before its deadline")
        outcome = decide.failed(task, decide.expired(task))
        entry = self._ended(Entry(task, now), event, outcome)
        there = await self._insert(entry)
        idle = {State.READY, State.WAITING}
        if there is not None and there.state in idle and not there.differs(task):
            own = decide.failed(there.job.task, decide.expired(task), there.job.attempts)
            await self._ends.conclude(self._ends.end(there.job, own))
            return []
        return _stated(entry, there)

    def _ended(self, entry: Entry, event: Envelope[TaskFact], outcome: Outcome) -> Entry:
        """A row of a task that ends before it began."""
        raw = self._around.stamp.from_journal(outcome, (0, 0), event.id, event.traceparent)
        return replace(entry, ended_as=ended_as(outcome), outcome=raw)

    # -- one transaction for all messages of a batch --------------------------------------------

    async def _inserted(self, entries: Sequence[Entry]) -> Sequence[Known | None]:
        """Insert them; what there is room for is claimed with that, and begun at once."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        kept: asyncio.Future[bool] = loop.create_future()
        offered = [self._claimed(entry) for entry in entries]
        begun = False

        def begin(found: Sequence[Known | None]) -> None:
            nonlocal begun
            begun = True
            for entry, there in zip(offered, found, strict=True):
                self._begin(entry, there, Claim(since, kept))

        try:
            found = await self._around.journal.insert(offered, begin)
        except BaseException:
            kept.set_result(False)
            for entry in offered:
                if entry.owner is not None and not begun:
                    self._worker.room.release(entry.upstream)
            raise
        kept.set_result(True)
        return found

    def _claimed(self, entry: Entry) -> Entry:
        if entry.outcome is None and self._worker.reserve(entry.upstream):
            return replace(entry, owner=self._around.owner)
        return entry

    def _begin(self, entry: Entry, there: Known | None, claim: Claim) -> None:
        if there is None and entry.owner is not None:
            self._worker.start(claimed_job(entry), claim)
        elif entry.owner is not None:
            self._worker.room.release(entry.upstream)
        elif there is None and entry.outcome is None:
            self._worker.room.expect(entry.upstream)


def _stated(entry: Entry, there: Known | None) -> Effects:
    """What a message about a task in the journal is answered with: how it ended, if it has."""
    if there is None:
        return [entry.outcome] if entry.outcome is not None else []
    _require_same(there, entry.task)
    return there.told


def _early(task: Task) -> Early:
    return Early(f"round `{task.round}` of task `{task.id}` came before what it answers")


def _require_same(there: Known, task: Task) -> None:
    if there.differs(task):
        raise Forged(f"task `{task.id}` came before with another request")
