"""Calls that many share: whatever is asked while some are under way leaves together in the next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

TEN = 10
"""Entries that one call to SQS may carry."""
MOST = 8
"""Calls under way at once."""


class _Ask:
    """What one asker still waits for."""

    __slots__ = ("done", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(self, error: Exception | None) -> None:
        self.left -= 1
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        elif not self.left:
            self.done.set_result(None)


class Lanes(Generic[T]):
    """`carry` makes a call; `fits` says how many of the first few, at most ten, one call takes."""

    def __init__(
        self, carry: Callable[[list[T]], Awaitable[None]], fits: Callable[[Sequence[T]], int]
    ) -> None:
        self._carry = carry
        self._fits = fits
        self._waiting: deque[tuple[T, _Ask]] = deque()
        self._running: set[asyncio.Task[Any] | None] = set()

    def ask(self, items: Sequence[T]) -> "asyncio.Future[None]":
        """Done once each was accepted; else it has a call's error, and perhaps some were."""
        ask = _Ask(len(items))
        if not items:
            ask.done.set_result(None)
            return ask.done
        self._waiting.extend([(item, ask) for item in items])
        while len(self._running) < MOST and len(self._waiting) > TEN * len(self._running):
            self._running.add(asyncio.ensure_future(self._run()))
        return ask.done

    async def drain(self) -> None:
        """What was asked is answered; nothing may be asked meanwhile."""
        if running := [lane for lane in self._running if lane is not None]:
            await asyncio.wait(running)

    async def _run(self) -> None:
        while self._waiting:
            count = min(TEN, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            fitting = self._fits([item for item, _ in taken])
            self._waiting.extendleft(reversed(taken[fitting:]))
            error: Exception | None = None
            try:
                await self._carry([item for item, _ in taken[:fitting]])
            except Exception as why:  # noqa: BLE001 - whoever asked gets it
                error = why
            for _, ask in taken[:fitting]:
                ask.told(error)
        # Here, not in a callback: whoever was told may ask before callbacks run.
        self._running.discard(asyncio.current_task())
