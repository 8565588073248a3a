"""What a person may do to a task whose outcome nobody knows."""

from dataclasses import dataclass

from interlock.contracts.ids import TaskId
from interlock.contracts.outcomes import Settlement, TaskSettled
from interlock.contracts.task import Principal, TaskState
from interlock.errors import Refused, Unavailable
from interlock.runtime.relay import saved
from services.invocation.handlers.around import Around
from services.invocation.handlers.ends import Ends
from services.invocation.model import Key
from services.invocation.store import Late, Page, Told


@dataclass(frozen=True)
class Verdict:
    """How an unknown task had ended, as somebody found out."""

    outcome: Settlement
    by: Principal
    reason: str
    result: str | None = None
    """JSON text."""


class Settling:
    """Looks at single tasks, and settles them."""

    def __init__(self, around: Around, ends: Ends) -> None:
        self._around = around
        self._ends = ends

    async def found(self, tenant: str, task_id: str) -> Page:
        """The task, or `Refused` (`not_found`)."""
        found = await self._around.journal.shown((tenant, TaskId(task_id)))
        if found is None:
            raise Refused(f"there is no task `{task_id}` in the journal", code="not_found")
        return found[0]

    async def settle(self, tenant: str, task_id: str, verdict: Verdict) -> Page:
        """Once, and only what ended `unknown`; `Refused` (`conflict`) otherwise.

        Raises `Unavailable` (`saved`) where it cannot be stated before the bus is back.
        """
        key: Key = (tenant, TaskId(task_id))
        shown = await self._around.journal.shown(key)
        if shown is None:
            raise Refused(f"there is no task `{task_id}` in the journal", code="not_found")
        page, told = shown
        if page.ended_as != TaskState.UNKNOWN or page.settled_as is not None:
            raise _not_unknown(page)
        fact = TaskSettled(
            task=page.task,
            outcome=verdict.outcome,
            by=verdict.by,
            reason=verdict.reason,
            result=verdict.result,
        )
        stamp, (unknown,) = self._around.stamp, told
        raw = stamp.from_journal(
            fact, (page.attempt, 0), unknown.id, unknown.attributes.get("traceparent")
        )
        if not await self._around.journal.settle(key, Late(verdict.outcome, raw)):
            raise _not_unknown(await self.found(tenant, task_id))
        try:
            await self._ends.tell([raw], Told(key, settled=True))
        except Unavailable as error:
            raise saved(error) from error
        return await self.found(tenant, task_id)


def _not_unknown(page: Page) -> Refused:
    state = f"settled as `{page.settled_as}`" if page.settled_as else f"`{_state(page)}`"
    return Refused(
        f"task `{page.task.id}` is {state}; only an `unknown` one can be settled, and once",
        code="conflict",
    )


def _state(page: Page) -> str:
    return page.ended_as or page.state.value
