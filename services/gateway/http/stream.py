"""A task's log as server-sent events. Nothing is buffered here: each entry is read from the log
when the client has taken the one before, so a stream resumes on any replica."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interlock.errors import Unavailable
from services.gateway.decide import steps
from services.gateway.decide.tell import milestone
from services.gateway.handlers.waiting import LOOK_AGAIN, Waiters, Watch
from services.gateway.model import Place
from services.gateway.store import Snapshots

KEEP_ALIVE = b": still here\n\n"
HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Times in seconds."""

    keep_alive: float
    slow_reader: float
    stands: Callable[[], bool] = lambda: True
    """Whether the reader's access is in force still: looked at every second."""


class MilestoneStream(Response):
    """Ends with the task, with the process, or with a client that went or takes nothing."""

    def __init__(
        self,
        store: Snapshots,
        waiters: Waiters,
        place: Place,
        after: int,
        limits: StreamLimits,
    ) -> None:
        super().__init__()
        self._store = store
        self._waiters = waiters
        self._place = place
        self._known = after
        self._after = max(0, after - 1)  # the last that it knows says how far it was
        self._highest = ""
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(self._write(send), receive)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        with self._waiters.watch(self._place) as watch, suppress(TimeoutError, Unavailable):
            await self._store.watch(self._place)
            await self._milestones(watch, send)
            await self._send(send, [], more=False)

    async def _milestones(self, watch: Watch, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        wrote = clock()
        while self._limits.stands() and not self._waiters.closing:
            snapshot = await self._store.read(self._place)  # first: an end in it is in the log
            if snapshot is None:
                return
            entries = await self._store.log(self._place, self._after)
            if any(one.fact is None for one in entries):  # they are in the snapshot, from now on
                snapshot = await self._store.read(self._place) or snapshot
            fresh, self._highest = steps.without_stale(entries, snapshot, self._highest)
            told = [milestone(one, snapshot) for one in fresh if one.number > self._known]
            if told:
                await self._send(send, told)
                wrote = clock()
            if entries:
                self._after = entries[-1].number
            elif snapshot.final:
                return
            elif not await watch.news(LOOK_AGAIN) and clock() - wrote > self._limits.keep_alive:
                await self._send(send, [KEEP_ALIVE])
                wrote = clock()

    async def _send(self, send: Send, parts: Iterable[bytes], more: bool = True) -> None:
        """`TimeoutError` if the client takes nothing for too long."""
        async with asyncio.timeout(self._limits.slow_reader):
            body = b"".join(parts)
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def while_connected(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Do `work` until it is done, or its client has gone."""
    writing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(disconnected(receive))
    try:
        await asyncio.wait({writing, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (writing, gone):
            task.cancel()
        await asyncio.wait({writing, gone})
    if not writing.cancelled():
        writing.result()


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
