"""The tasks extension's commands and queries: of the caller's own calls, and of nobody else's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from interlock.identity.tokens import Caller
from services.gateway.decide import detailed
from services.gateway.handlers.rounds import Rounds
from services.gateway.handlers.tasks import Tasks
from services.gateway.model import Place, Snapshot

REASON = "the client cancelled its task"


@dataclass(frozen=True)
class OwnTasks:
    """Tasks as `io.modelcontextprotocol/tasks` has them (SEP-2663)."""

    tasks: Tasks
    rounds: Rounds
    keep: timedelta
    """How long a task is there after its end."""

    async def find(self, caller: Caller, task_id: str) -> Snapshot:
        """The caller's own; whatever else it is, `Refused` in the same words."""
        snapshot = await self.tasks.store.read(Place(caller.principal.tenant, task_id))
        if (
            snapshot is None
            or snapshot.task.principal != caller.principal
            or snapshot.task.kind is not TaskKind.CALL
        ):
            raise Refused("there is no such task", code="not_found")
        return snapshot

    async def get(self, caller: Caller, task_id: str) -> dict[str, Any]:
        """`DetailedTask`, for `orjson.dumps`."""
        snapshot = await self.find(caller, task_id)
        return self.shown(await self.rounds.forward(caller, snapshot))

    def shown(self, snapshot: Snapshot) -> dict[str, Any]:
        """`DetailedTask` of a task as it stands."""
        return detailed.detailed(snapshot, self.tasks.url_of(snapshot.task), self.keep)

    async def update(self, caller: Caller, task_id: str, answers: Mapping[str, str]) -> None:
        """Take answers (JSON texts) by the keys that `get` shows; others are ignored."""
        snapshot = await self.find(caller, task_id)
        await self.tasks.require_giver(caller, snapshot.task)
        mark = detailed.key_of("", snapshot.task.round)
        given = {
            key.removesuffix(mark): text for key, text in answers.items() if key.endswith(mark)
        }
        await self.rounds.answer(caller, snapshot, given)

    async def cancel(self, caller: Caller, task_id: str) -> None:
        """Ask for its end; an ended task stays as it is."""
        snapshot = await self.find(caller, task_id)
        if not snapshot.final:
            await self.tasks.request_cancel(snapshot.task, caller.principal, REASON)
