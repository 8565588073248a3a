"""Tasks on the bus: judged once, cancelled or expired while they are policy's."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from interlock.bus import Effects, Envelope, Raw, Route, Together, on
from interlock.contracts.outcomes import TaskCancelled
from interlock.contracts.requests import (
    AuthorizationExpired,
    CancelRequested,
    DeadlinePassed,
    TaskAuthenticated,
)
from interlock.contracts.task import Task
from interlock.errors import Forged
from interlock.identity.statements import Trust, require_arguments, verify_identity
from services.policy import decide
from services.policy.handlers.bench import Bench
from services.policy.handlers.words import Words
from services.policy.model import Answer, Ask, Decision, State
from services.policy.store import Decisions

log = structlog.get_logger()
SWEPT = 200


class Tasks:
    """Policy's handlers and its sweeper. `stated` tells the relay that something waits for it."""

    def __init__(
        self,
        decisions: Decisions,
        bench: Bench,
        words: Words,
        trust: Trust,
        stated: Callable[[], None],
    ) -> None:
        self._decisions = decisions
        self._bench = bench
        self._words = words
        self._trust = trust
        self._once = Together(decisions.once)
        self._stated = stated

    def routes(self) -> Sequence[Route]:
        return [
            on(TaskAuthenticated, self.judge),
            on(CancelRequested, self.cancel),
            on(DeadlinePassed, self.expire),
        ]

    async def judge(self, event: Envelope[TaskAuthenticated]) -> Effects:
        """One decision per task and round: whatever is redelivered gets the first one's facts.

        A later round is judged together with the request, under its approval if there is one.
        """
        asked, task = event.body, event.body.task
        identity = verify_identity(self._trust, asked.identity, task)
        require_arguments(task, asked.arguments, asked.given)
        ask = Ask(
            asked.arguments,
            identity.roles,
            identity.groups,
            identity.token_scopes,
            asked.given,
            asked.client,
        )
        if task.round > 0:
            row = await self._once(await self._later(event, ask))
        else:
            row = await self._once(await self._decided(event, ask))
        _require_same(row, task)
        return row.facts

    async def cancel(self, event: Envelope[CancelRequested]) -> Effects:
        """End a held task. One that has not come yet ends when it comes; others are not ours.

        A later round is let go and nothing said: its task is the next authority's to end.
        """
        asked = event.body
        reason = asked.reason or f"cancelled by `{asked.by.label}`"
        row = decide.ended(asked.task, State.CANCELLED, "cancelled", reason, self._bench.now())
        row = await self._once(replace(row, facts=self._cancelled(row, event)))
        _require_same(row, asked.task)
        for held in await self._decisions.of(row.task.tenant, row.task.id):
            row = held
            while row.state is State.HELD:
                after = _answered(row, State.CANCELLED, "cancelled", reason)
                messages = self._cancelled(after, event)
                row = await self._answer(row, after, Answer(row, after, messages))
        return ()

    async def expire(self, event: Envelope[DeadlinePassed]) -> Effects:
        """End what is still ours, say again how it ended, or pass it on to the next authority."""
        task, now = event.body.task, self._bench.now()
        if not decide.expired(task, now):
            return ()
        row = await self._once(self._expired(task, event, now))
        _require_same(row, task)
        while row.state is State.HELD:
            row = await self.lapse(row)
        if row.state is State.AUTHORIZED:
            return [AuthorizationExpired(task=row.task)]
        return (*row.facts, *row.later)

    async def sweep(self) -> int:
        """Deny held tasks that nobody answered in time; how many were due."""
        due = await self._decisions.due(self._bench.now(), SWEPT)
        for row in due:
            await self.lapse(row)
        return len(due)

    async def lapse(self, row: Decision) -> Decision:
        """Deny a held task whose time is over."""
        reason = f"nobody approved it in time: {row.reason}"
        after = _answered(row, State.DENIED, "lapsed", reason)
        messages = self._words.after(row, after, [decide.denied_fact(after)])
        return await self._answer(row, after, Answer(row, after, messages))

    async def _decided(self, event: Envelope[TaskAuthenticated], ask: Ask) -> Decision:
        task, now = event.body.task, self._bench.now()
        if decide.expired(task, now):
            return self._expired(task, event, now)
        ruling = await self._bench.rule(task, ask)
        row = decide.decision(task, ruling.judgement, ask, now)
        if row.state is not State.AUTHORIZED:
            log.info(f"task.{row.state}", task_id=task.id, code=row.code, because=row.because)
        facts = [self._words.verdict(row, ruling, ask)]
        return replace(row, facts=self._words.raw(row, facts, event.id, event.traceparent))

    async def _later(self, event: Envelope[TaskAuthenticated], ask: Ask) -> Decision:
        task = event.body.task
        rows = await self._decisions.of(task.tenant, task.id)
        end = decide.require_round_of(rows, task, ask.arguments)
        if end.state.ended:
            return decide.ended_before(task, end, self._bench.now())
        answers = await self._decisions.approvals(task.tenant, task.id)
        approved = [one.id for one in answers if one.answer == "approved"]
        return await self._decided(event, replace(ask, approval_id=(*approved, None)[0]))

    def _cancelled(self, row: Decision, event: Envelope[CancelRequested]) -> tuple[Raw, ...]:
        if row.task.round > 0:
            return ()
        fact = TaskCancelled(task=row.task, by=event.body.by, reason=event.body.reason)
        return self._words.raw(row, [fact], event.id, event.traceparent)

    def _expired(
        self,
        task: Task,
        event: Envelope[TaskAuthenticated] | Envelope[DeadlinePassed],
        now: datetime,
    ) -> Decision:
        fact = decide.expired_fact(task)
        row = decide.ended(task, State.FAILED, "expired", decide.too_late(task), now)
        return replace(row, facts=self._words.raw(row, [fact], event.id, event.traceparent))

    async def _answer(self, before: Decision, after: Decision, answer: Answer) -> Decision:
        kept = replace(after, later=(*before.later, *answer.messages))
        row = await self._decisions.answer(replace(answer, after=kept))
        if row is kept:
            log.info(f"task.{row.state}", task_id=row.task.id, code=row.code)
            self._stated()
        return row


def _answered(row: Decision, state: State, code: str, reason: str) -> Decision:
    return replace(row, state=state, code=code, reason=reason, revision=row.revision + 1)


def _require_same(row: Decision, task: Task) -> None:
    if row.task.request_digest != task.request_digest:
        raise Forged(f"task `{task.id}` round `{task.round}` was decided for another request")
