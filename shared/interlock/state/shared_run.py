"""One run for many callers, when each needs one that began after it asked."""

import asyncio
from collections.abc import Awaitable, Callable


class SharedRun:
    """`await shared()` joins the next run of `run`; runs never overlap.

    So what was true before the call is seen by the run that the call waits for, and a thousand
    callers cost two runs. An error goes to everyone who waited for that run; a caller that is
    cancelled leaves the others theirs.
    """

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self._run = run
        self._now: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        if self._next is None:
            self._next = asyncio.ensure_future(self._after(self._now))
            self._next.add_done_callback(_seen)
        await asyncio.shield(self._next)

    async def _after(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._now, self._next = self._next, None
        await self._run()


def _seen(run: "asyncio.Task[None]") -> None:
    """An error whose callers have all left is nobody's."""
    if not run.cancelled():
        run.exception()
