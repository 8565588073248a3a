"""How policy's facts go out: with ids that follow from the decision, and the grant signed."""

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.bus import Raw, Stamp
from interlock.contracts.message import Fact
from interlock.contracts.requests import CallAuthorized
from interlock.identity.statements import Grant, Signer, sign_grant
from services.policy import decide
from services.policy.model import Ask, Decision, Ruling, State


@dataclass(frozen=True)
class Words:
    """Stamps and signs in policy's name."""

    stamp: Stamp
    signer: Signer

    def verdict(self, row: Decision, ruling: Ruling, ask: Ask) -> Fact:
        """What a judgement's decision states."""
        if row.state is State.AUTHORIZED:
            return self.grant(row, ruling, ask)
        if row.state is State.HELD:
            return decide.held_fact(row)
        return decide.denied_fact(row, ruling.judgement.missing)

    def grant(
        self, row: Decision, ruling: Ruling, ask: Ask, approval_id: str | None = None
    ) -> CallAuthorized:
        """The task may run: exactly these arguments, and this input, of exactly this tool."""
        grant = Grant(
            task=row.task,
            policy_version=row.policy_version,
            decision_id=row.decision_id,
            tool_digest=ruling.tool_digest,
            approval_id=approval_id or ask.approval_id,
        )
        signed = sign_grant(self.signer, grant)
        return CallAuthorized(
            task=row.task,
            arguments=ask.arguments,
            grant=signed,
            given=ask.given,
            client=ask.client,
        )

    def raw(
        self, row: Decision, facts: Sequence[Fact], cause: str, traceparent: str | None
    ) -> tuple[Raw, ...]:
        """Facts of a revision of a decision, whichever message or person asked for it.

        A revision states no two facts of one type.
        """
        place = (row.task.round, row.revision)
        return tuple(self.stamp.from_journal(fact, place, cause, traceparent) for fact in facts)

    def after(self, before: Decision, after: Decision, facts: Sequence[Fact]) -> tuple[Raw, ...]:
        """Facts of a hold's answer: caused by what was stated last of the task."""
        last = (*before.facts, *before.later)[-1]
        return self.raw(after, facts, last.id, last.attributes.get("traceparent"))
