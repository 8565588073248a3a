"""What becomes of a row after an attempt: it ends, goes back, or waits for input."""

import asyncio

from services.invocation import decide
from services.invocation.handlers.around import Around, itself
from services.invocation.handlers.ends import Ends
from services.invocation.handlers.holding import Holding
from services.invocation.handlers.room import Room
from services.invocation.model import Again, Call, Terms, Try, Wait
from services.invocation.store import Written


class Results:
    """Writes what attempts led to."""

    def __init__(self, around: Around, ends: Ends, room: Room) -> None:
        self._around = around
        self._ends = ends
        self._room = room

    async def write(self, holding: Holding, call: Call, tried: Try, seconds: float) -> Written:
        """What follows from an attempt, written under its lease and told."""
        around, job = self._around, holding.job
        terms = Terms(
            repeatable=call.repeatable,
            most_attempts=around.limits.attempts,
            pause=decide.pause(job.attempt, around.chance(), around.limits),
            control=holding.control,
        )
        follows = decide.after(job, tried, seconds, terms, around.now())
        if isinstance(follows, Again):
            return await self._again(holding, follows)
        if isinstance(follows, Wait):
            return await self._pause(holding, follows)
        late = None  # what may be repeated is never given up as unknown
        if not call.repeatable:
            late = decide.settlement(job.task, tried, itself(job.task.tenant))
        untold, holding.untold = holding.untold, []
        return await self._ends.conclude(self._ends.end(job, follows, late), untold)

    async def _pause(self, holding: Holding, wait: Wait) -> Written:
        written = await self._ends.pause(holding.job, wait, holding.number(), holding.untold)
        if written.done:
            holding.untold = []
        return written

    async def _again(self, holding: Holding, again: Again) -> Written:
        written = await self._ends.keep(self._ends.back(holding.job, again))
        if written.done:
            self._ends.aside(holding.untold)
            pause = (again.not_before - self._around.now()).total_seconds()
            asyncio.get_running_loop().call_later(pause, self._room.expect, holding.job.upstream)
        return written
