"""Tasks that agents submit on the bus: believed or refused, once, always as a fact."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256

import structlog

from interlock.bus import Effects, Envelope, Raw, Route, Stamp, Together, on
from interlock.contracts.access import AgentRecord
from interlock.contracts.ids import Digest, EventId, derived
from interlock.contracts.outcomes import TaskAccepted, TaskRefused
from interlock.contracts.requests import TaskAuthenticated, TaskSubmitted
from interlock.contracts.task import digest_of
from interlock.errors import Refused
from interlock.identity.statements import Identity, Signer, sign_identity
from interlock.state.port import View
from services.auth import decide
from services.auth.handlers.delegations import Delegations
from services.auth.model import Believed, Doubted, Judged
from services.auth.store import Submissions

log = structlog.get_logger()
PLAIN_ID = re.compile(r"[\x21-\x7e]{1,255}")
REUSED = Doubted("reused_ref", "the `client_ref` belongs to another request already; use a new one")


@dataclass
class Submitted:
    """Judges `task.submitted`. Nothing in a submission is believed before it is proven."""

    submissions: Submissions
    agents: View[AgentRecord]
    delegations: Delegations
    stamp: Stamp
    signer: Signer
    now: Callable[[], datetime]
    _once: Together[Judged, Sequence[Raw]] = field(init=False)

    def __post_init__(self) -> None:
        self._once = Together(lambda judged: self.submissions.once(judged, self.now()))

    def routes(self) -> Sequence[Route]:
        return [on(TaskSubmitted, self.judge)]

    async def judge(self, envelope: Envelope[TaskSubmitted]) -> Effects:
        """The facts about a submission, the same whenever it is delivered again."""
        verdict = self._verdict(envelope.body)
        if isinstance(verdict, Doubted):
            await asyncio.gather(self.agents.confirm(), self.delegations.revocations.confirm())
            verdict = self._verdict(envelope.body)
        told = _Told(envelope, self.stamp, self.agents)
        if isinstance(verdict, Doubted):
            log.info("submission.refused", id=told.submission_id, code=verdict.code)
            judged = Judged(told.message, None, None, told.refused(verdict), tuple)
        else:
            body = envelope.body
            said = Identity.of(verdict.task, verdict.token_scopes)
            judged = Judged(
                message=told.message,
                ref=(body.tenant, body.agent, body.client_ref),
                request=verdict.task.request_digest,
                effects=told.accepted(verdict, sign_identity(self.signer, said)),
                reused=partial(told.refused, REUSED),
            )
        return await self._once(judged)

    def _verdict(self, submission: TaskSubmitted) -> Believed | Doubted:
        try:
            tenant = submission.tenant
            decide.require_tenant(self.delegations.revocations.get(tenant, f"tenant:{tenant}"))
            return decide.believe(
                submission,
                self.agents.get(submission.tenant, submission.agent),
                self.delegations.claims(submission),
                self.now(),
            )
        except Refused as error:
            return Doubted(error.code, error.detail)


@dataclass(frozen=True)
class _Told:
    """What is said of one submission.

    Writers of `task.submitted` choose the ids of their messages. So no id of ours follows from
    such an id alone: a task's facts follow from the task, a refusal from the message's bytes too.
    """

    envelope: Envelope[TaskSubmitted]
    stamp: Stamp
    agents: View[AgentRecord]

    @property
    def message(self) -> Digest:
        raw = self.envelope.raw
        return Digest(
            sha256(b"%d:%b" % (len(raw.id.encode()), raw.id.encode()) + raw.body).hexdigest()
        )

    @property
    def submission_id(self) -> EventId:
        given = self.envelope.raw.id
        return given if PLAIN_ID.fullmatch(given) else EventId(self.message)

    def accepted(self, verdict: Believed, identity: str) -> Sequence[Raw]:
        accepted = TaskAccepted(
            task=verdict.task,
            submission_id=self.submission_id,
            submission_digest=digest_of(self.envelope.raw.body),
        )
        authenticated = TaskAuthenticated(
            task=verdict.task, arguments=self.envelope.body.arguments, identity=identity
        )
        trace = self.envelope.traceparent
        return [
            self.stamp.from_journal(fact, (0, 0), self.submission_id, trace)
            for fact in (accepted, authenticated)
        ]

    def refused(self, doubt: Doubted) -> Sequence[Raw]:
        body = self.envelope.body
        known = self.agents.get(body.tenant, body.agent) is not None
        fact = TaskRefused(
            tenant=body.tenant if known else "-",
            agent=body.agent,
            client_ref=body.client_ref[:255],
            code=doubt.code,
            reason=doubt.reason,
            submission_id=self.submission_id,
            submission_digest=digest_of(self.envelope.raw.body),
        )
        made = derived("refused", self.message)
        return [self.stamp.state(fact, made, self.submission_id, self.envelope.traceparent)]
