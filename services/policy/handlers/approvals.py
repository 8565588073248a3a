"""What people do about held tasks: look, approve, refuse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from interlock.contracts.ids import TaskId, derived
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import TaskApproved
from interlock.contracts.task import Principal
from interlock.errors import Refused
from services.policy import decide
from services.policy.handlers.bench import Bench
from services.policy.handlers.tasks import Tasks
from services.policy.handlers.words import Words
from services.policy.model import Answer, Approval, Ask, Decision, State
from services.policy.store import Decisions

log = structlog.get_logger()
SHOWN = 500


@dataclass(frozen=True)
class Reply:
    """What a person says of a held task. `digest`, where given, is the request they looked at."""

    task_id: TaskId
    by: Principal
    reason: str = ""
    digest: str | None = None


@dataclass(frozen=True)
class Approvals:
    """Holds and their answers. What they state goes out by the outbox."""

    decisions: Decisions
    bench: Bench
    words: Words
    tasks: Tasks

    async def held(self, tenant: str) -> Sequence[Decision]:
        """What waits for an answer."""
        now = self.bench.now()
        rows = await self.decisions.held(tenant, SHOWN)
        return [row for row in rows if not decide.lapsed(row, now)]

    async def approve(self, caller: decide.Caller, reply: Reply) -> Decision:
        """Let a held task run, if the policies of this moment still hold it for the same reason.

        They may deny it, or hold it for another reason: then this approval is void.
        """
        row, ask = await self._answerable(caller, reply)
        await self.bench.confirm()
        ruling, now = await self.bench.rule(row.task, ask), self.bench.now()
        after = decide.decision(row.task, ruling.judgement, ask, now, revision=row.revision + 1)
        facts: list[Fact]
        if decide.confirmed(row, ruling.judgement):
            after = replace(after, state=State.AUTHORIZED)
            approval = _approval(row, reply, "approved", after.policy_version, now)
            grant = self.words.grant(after, ruling, ask, approval.id)
            facts = [_approved(row, after, approval, reply), grant]
        else:
            answer = "voided" if after.state is State.HELD else "denied"
            approval = _approval(row, reply, answer, after.policy_version, now)
            facts = [self.words.verdict(after, ruling, ask)]
        return await self._answer(row, after, facts, approval)

    async def refuse(self, caller: decide.Caller, reply: Reply) -> Decision:
        """Deny a held task."""
        row, _ = await self._answerable(caller, reply)
        after = replace(
            row,
            state=State.DENIED,
            code="refused",
            reason=reply.reason or f"`{reply.by.label}` refused it",
            revision=row.revision + 1,
        )
        approval = _approval(row, reply, "refused", row.policy_version, self.bench.now())
        return await self._answer(row, after, [decide.denied_fact(after, by=reply.by)], approval)

    async def _answerable(self, caller: decide.Caller, reply: Reply) -> tuple[Decision, Ask]:
        rows = await self.decisions.of(reply.by.tenant, reply.task_id)
        if not rows:
            raise Refused(f"policy knows no task `{reply.task_id}`", code="not_found")
        row = next((row for row in rows if row.state is State.HELD), rows[-1])
        if row.state is State.HELD and decide.lapsed(row, self.bench.now()):
            row = await self.tasks.lapse(row)
        if row.state is not State.HELD or row.ask is None:
            raise _conflict(row)
        decide.require_answerer(caller, row)
        if reply.digest not in (None, row.task.request_digest):
            raise Refused(
                f"task `{reply.task_id}` asks for `{row.task.request_digest}`, not for "
                f"`{reply.digest}`; look at it again",
                code="conflict",
            )
        return row, row.ask

    async def _answer(
        self, row: Decision, after: Decision, facts: Sequence[Fact], approval: Approval
    ) -> Decision:
        messages = self.words.after(row, after, facts)
        after = replace(after, facts=row.facts, later=(*row.later, *messages))
        kept = await self.decisions.answer(Answer(row, after, messages, approval))
        if kept is not after:
            raise _conflict(kept)
        log.info(f"task.{approval.answer}", task_id=row.task.id, by=approval.by)
        return kept


def _approval(
    row: Decision, reply: Reply, answer: str, judged_under: int, now: datetime
) -> Approval:
    return Approval(
        id=derived("approval", *row.key, row.revision),
        by=reply.by.label,
        answer=answer,
        reason=reply.reason,
        request_digest=row.task.request_digest,
        held_under=row.policy_version,
        judged_under=judged_under,
        at=now,
    )


def _approved(row: Decision, after: Decision, approval: Approval, reply: Reply) -> TaskApproved:
    return TaskApproved(
        task=row.task,
        approval_id=approval.id,
        by=reply.by,
        reason=reply.reason,
        held_under=row.policy_version,
        approved_under=after.policy_version,
    )


def _conflict(row: Decision) -> Refused:
    return Refused(
        f"task `{row.task.id}` is `{row.state}`"
        + (f" (`{row.code}`)" if row.code else "")
        + ", so there is nothing to answer",
        code="conflict",
        data={"state": row.state.value},
    )
