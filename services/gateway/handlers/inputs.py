"""Input for a task from outside MCP: from whom it is, for what it asks, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.errors import Refused
from interlock.identity.tokens import Caller
from services.gateway.decide import inputs
from services.gateway.decide.tell import answers_of
from services.gateway.handlers.rounds import Rounds
from services.gateway.handlers.tasks import Tasks
from services.gateway.model import Place, Snapshot, Unanswered


@dataclass(frozen=True)
class Inputs:
    """Says what does not fit, where `tasks/update` ignores it."""

    tasks: Tasks
    rounds: Rounds

    async def give(
        self, caller: Caller, task_id: str, responses: Mapping[str, str], round_: int | None
    ) -> Snapshot:
        """Add responses (JSON texts) to those that there are; the round goes out once none lacks.

        The task as it stands then. `Refused`: `not_found` where it is not the caller's own,
        `insufficient_scope` as for a submission, `conflict` or `invalid` as `decide.inputs` has it.
        """
        store = self.rounds.store
        snapshot = await store.read(Place(caller.principal.tenant, task_id))
        if snapshot is None or snapshot.task.principal != caller.principal:
            raise Refused(f"you have no task `{task_id[:100]}`", code="not_found")
        await self.tasks.require_giver(caller, snapshot.task)
        inputs.require_asked(snapshot, responses, round_)
        there = answers_of(snapshot)
        new = [(key, text) for key, text in responses.items() if key not in there]
        if new:
            added = await store.answer(snapshot, new)
            if added is None:  # it moved on in between: to where, it says there
                return await self.give(caller, task_id, responses, snapshot.task.round)
            inputs.require_same(added, responses)
            snapshot = added
        return await self._forward(caller, snapshot)

    async def _forward(self, caller: Caller, snapshot: Snapshot) -> Snapshot:
        try:
            return await self.rounds.forward(caller, snapshot)
        except Unanswered as error:
            raise Refused(error.detail, code="conflict") from None
