"""One transaction for a whole batch: calls that handlers make side by side become one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from interlock.errors import Unavailable

Q = TypeVar("Q")
A = TypeVar("A")


class Batch:
    """The handlers of one batch while they run; it flushes when each of them waits or is done."""

    def __init__(self, size: int) -> None:
        self._alone = size == 1
        self.left = self._running = size
        """Handlers that did not end yet."""
        self._waiting: dict[Together[Any, Any], list[tuple[Any, asyncio.Future[Any]]]] = {}
        self._flushes: set[asyncio.Task[None]] = set()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once each handler ended, or nobody waits for them any longer."""
        self.broken = False
        """A shared call failed, by whichever handler's fault, with anything but `Unavailable`."""

    def done(self) -> None:
        """One handler ended."""
        self.left -= 1
        self._running -= 1
        self._flush_if_all_wait()
        if not self.left:
            self.give_up()

    def give_up(self) -> None:
        """Wait no longer for those that did not end."""
        if not self.over.done():
            self.over.set_result(None)

    async def join(self, together: "Together[Q, A]", question: Q) -> A:
        """Wait with the others; the answer comes from one call for all."""
        if self._alone:
            (answer,) = await together.run([question])
            return answer
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(together, []).append((question, future))
        self._running -= 1
        self._flush_if_all_wait()
        try:
            return await future
        finally:
            if future.cancelled():  # nobody answered; else `_answer` counted it as running again
                self._running += 1

    def close(self) -> None:
        """Every handler ended: a call that still runs has nobody to answer."""
        for flush in self._flushes:
            flush.cancel()

    def _flush_if_all_wait(self) -> None:
        if self._running > 0 or not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for together, asked in waiting.items():
            task = asyncio.ensure_future(self._answer(together, asked))
            self._flushes.add(task)
            task.add_done_callback(self._flushes.discard)

    async def _answer(
        self,
        together: "Together[Any, Any]",
        asked: Sequence[tuple[Any, asyncio.Future[Any]]],
    ) -> None:
        questions = [question for question, _ in asked]
        said: Sequence[Any] | BaseException
        try:
            said = await together.run(questions)
        except asyncio.CancelledError:
            for _, future in asked:
                future.cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to those who asked
            said = error
        if not isinstance(said, BaseException) and len(said) != len(asked):
            said = ValueError(f"`{len(said)}` answers to `{len(asked)}` questions")
        if isinstance(said, BaseException) and not isinstance(said, Unavailable):
            self.broken = True
        waiting = [place for place, (_, future) in enumerate(asked) if not future.done()]
        self._running += len(waiting)
        for place in waiting:
            if isinstance(said, BaseException):
                asked[place][1].set_exception(said)
            else:
                asked[place][1].set_result(said[place])


CURRENT: ContextVar[Batch | None] = ContextVar("interlock_batch", default=None)


class Together(Generic[Q, A]):
    """Wraps `run(questions) -> answers`, in order, one each.

    Called by handlers of one batch it runs once for all of them, as soon as every handler of the
    batch waits or is done; called outside a batch it runs at once for the one question.
    """

    def __init__(self, run: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        self.run = run

    async def __call__(self, question: Q) -> A:
        batch = CURRENT.get()
        if batch is None:
            return (await self.run([question]))[0]
        return await batch.join(self, question)
