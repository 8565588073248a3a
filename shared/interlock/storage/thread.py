"""A thread that runs functions for coroutines, one after another.

An executor of one thread does the same for a third more (measured: 94 against 75 µs of CPU).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    function: Callable[[], T]
    future: "asyncio.Future[T]"

    def do(self) -> None:
        """Only the loop touches the future; one that is closed waits for nothing."""
        if self.future.cancelled():
            return
        try:
            result = self.function()
        except BaseException as error:  # noqa: BLE001 - it belongs to the one who asked
            self._tell(self._failed, error)
        else:
            self._tell(self._done, result)

    def _tell(self, how: Callable[[Any], None], what: Any) -> None:
        with suppress(RuntimeError):
            self.future.get_loop().call_soon_threadsafe(how, what)

    def _done(self, result: T) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _failed(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """The thread, started with the first function."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def do(self, function: Callable[[], T]) -> T:
        """Its result. A caller that is cancelled leaves: what has not started never will."""
        if self._thread is None:
            self._thread = Thread(target=_serve, args=(self._jobs,), name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(function, future))
        return await future

    def close(self) -> None:
        """End after what was asked so far; the caller asks for no more."""
        self._jobs.put(None)


def _serve(jobs: "SimpleQueue[_Job[Any] | None]") -> None:
    while (job := jobs.get()) is not None:
        job.do()
        del job  # its result may be large, and the next may be long in coming
