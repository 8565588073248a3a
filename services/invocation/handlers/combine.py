"""Calls that come while one is under way go together with the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Combined(Generic[Q, A]):
    """Wraps `run(questions) -> answers`, in order, one each.

    A lone question runs at once; under load batches form by themselves, and no timer is involved.
    An error is everybody's whose question was in the batch.
    """

    def __init__(self, run: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._work: asyncio.Task[None] | None = None

    async def __call__(self, question: Q) -> A:
        """Its answer. A caller that leaves takes nothing back."""
        return await self.ask(question)

    def ask(self, question: Q) -> "asyncio.Future[A]":
        """The same for those who go on meanwhile: the answer when it comes."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._work is None:
            self._work = asyncio.create_task(self._serve())
        return future

    async def idle(self) -> None:
        """Wait until everything that was asked has been answered."""
        if self._work is not None:
            await asyncio.wait([self._work])

    async def _serve(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._most]
                del self._waiting[: self._most]
                await self._answer(batch)
        finally:
            self._work = None

    async def _answer(self, batch: Sequence[tuple[Q, "asyncio.Future[A]"]]) -> None:
        said: Sequence[A] | BaseException
        try:
            said = await self._run([question for question, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to those who asked
            said = error
        for place, (_, future) in enumerate(batch):
            if future.done():
                continue
            if isinstance(said, BaseException):
                future.set_exception(said)
            else:
                future.set_result(said[place])
