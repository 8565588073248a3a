"""A request's work, done while its client is there, and in the request's own task: tasks cost."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from services.gateway.http.stream import disconnected

T = TypeVar("T")


async def attended(
    work: Coroutine[Any, Any, T],
    receive: Receive,
    keep: Callable[[], Awaitable[None]],
    every: float,
) -> T | None:
    """What `work` gives; it is cancelled, and None given, when the client goes before that.

    Meanwhile `keep` is awaited every so many seconds, one at a time, and never longer than `work`
    and itself take; its error ends the work, too, and is raised.
    """
    attending = _Attending(keep, every)
    gone = asyncio.ensure_future(disconnected(receive))
    gone.add_done_callback(attending.left)
    try:
        return await work
    except asyncio.CancelledError:
        if not attending.cut_off():
            raise
        return None
    finally:
        gone.cancel()
        await attending.over()


class _Attending:
    """What may end the work before its time, and how that is told from a cancellation of others."""

    def __init__(self, keep: Callable[[], Awaitable[None]], every: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "work is attended to in a task"
        self._task = task
        self._keep = keep
        self._every = every
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(every, self._due)
        self._keeping: asyncio.Future[None] | None = None
        self._ended = self._cut = False

    def left(self, gone: "asyncio.Future[None]") -> None:
        """The client has gone, or is not watched for any longer."""
        if not gone.cancelled():
            self._end()

    def cut_off(self) -> bool:
        """Whether a cancellation is ours alone."""
        return self._cut and self._task.cancelling() <= 1

    async def over(self) -> None:
        """There is nothing left to end. Raises what `keep` raised."""
        self._ended = True
        self._timer.cancel()
        if self._cut:
            self._task.uncancel()
        if self._keeping is not None:
            if self._task.cancelling():
                self._keeping.cancel()
            await self._keeping

    def _due(self) -> None:
        self._keeping = asyncio.ensure_future(self._keep())
        self._keeping.add_done_callback(self._kept)

    def _kept(self, keeping: "asyncio.Future[None]") -> None:
        if keeping.cancelled() or keeping.exception() is not None:
            self._end()
        elif not self._ended:
            self._timer = self._loop.call_later(self._every, self._due)

    def _end(self) -> None:
        if not (self._ended or self._cut):
            self._cut = True
            self._task.cancel()
