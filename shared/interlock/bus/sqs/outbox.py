"""Sending to one queue: whatever is asked while calls are under way leaves together in the next."""

import asyncio
from collections import deque
from collections.abc import Sequence

from interlock.bus.sqs.broker.connection import TEN, Connection, loads
from interlock.bus.sqs.broker.wire import Packed

LANES = 8
"""Calls under way at once for one queue."""


class _Ask:
    """Messages of one asker that are not yet accepted."""

    __slots__ = ("accepted", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(self, error: Exception | None) -> None:
        self.left -= 1
        if self.accepted.done():
            return
        if error is not None:
            self.accepted.set_exception(error)
        elif not self.left:
            self.accepted.set_result(None)


class Outbox:
    """Of one queue. Messages leave by ten, in the order in which they were asked for."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._queue = queue
        self._waiting: deque[tuple[Packed, _Ask]] = deque()
        self._lanes: set[asyncio.Task[None]] = set()

    def send(self, messages: Sequence[Packed]) -> "asyncio.Future[None]":
        """Done once SQS has accepted each; else it has the client's error, and perhaps some are."""
        ask = _Ask(len(messages))
        self._waiting.extend([(message, ask) for message in messages])
        while len(self._lanes) < LANES and len(self._waiting) > TEN * len(self._lanes):
            lane = asyncio.ensure_future(self._lane())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        return ask.accepted

    async def close(self) -> None:
        """What was asked is answered; nothing may be asked any more."""
        if self._lanes:
            await asyncio.wait(self._lanes)

    async def _lane(self) -> None:
        most = self._connection.place.batch_bytes
        while self._waiting:
            count = min(TEN, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            messages = [message for message, _ in taken]
            first = next(loads(messages, most))
            self._waiting.extendleft(reversed(taken[len(first) :]))
            error: Exception | None = None
            try:
                await self._connection.send(self._queue, first)
            except Exception as why:  # noqa: BLE001 - whoever asked gets it
                error = why
            for _, ask in taken[: len(first)]:
                ask.done(error)
