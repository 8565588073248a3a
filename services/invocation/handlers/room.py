"""How much may be in hand at once, and which upstreams have work that found no room."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass

from services.invocation.model import Limits, Upstream


@dataclass(frozen=True)
class Free:
    """What another claim may take."""

    most: int
    room: Mapping[Upstream, int]
    """Of upstreams that have calls in hand; others have all of theirs."""
    only: Set[Upstream] | None
    """Where there is work for sure; None: there may be work anywhere."""


class Room:
    """The limits of one process. An upstream that is slow or down takes only its own share."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._busy: Counter[Upstream] = Counter()
        self._queued: set[Upstream] = set()
        self._anywhere = True
        self._changed = asyncio.Event()

    def take(self, upstream: Upstream) -> bool:
        """Room for one call, if there is any and nobody waits for it."""
        free = (
            not self._anywhere
            and upstream not in self._queued
            and self._busy.total() < self._limits.total
            and self._left(upstream) > 0
        )
        if free:
            self.fill(upstream)
        return free

    def fill(self, upstream: Upstream) -> None:
        """One more is in hand."""
        self._busy[upstream] += 1

    def release(self, upstream: Upstream) -> None:
        """One less."""
        self._busy[upstream] -= 1
        if self._busy[upstream] <= 0:
            del self._busy[upstream]
        if self._anywhere or self._queued:
            self._changed.set()

    def expect(self, upstream: Upstream) -> None:
        """Work for it was left ready."""
        self._queued.add(upstream)
        self._changed.set()

    def expect_anything(self) -> None:
        """There may be work that we were not told of."""
        self._anywhere = True

    async def changed(self, seconds: float) -> bool:
        """Wait until there may be something to claim; False if nothing came within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def free(self) -> Free | None:
        """What to claim now; from here on it counts as looked for."""
        most = self._limits.total - self._busy.total()
        room = {upstream: self._left(upstream) for upstream in self._busy}
        if most <= 0:
            return None
        if self._anywhere:
            self._anywhere = False
            # Upstreams that are full are looked at once they have room.
            self._queued = {upstream for upstream, left in room.items() if left <= 0}
            return Free(most, room, None)
        only = {upstream for upstream in self._queued if self._left(upstream) > 0}
        self._queued -= only
        return Free(most, room, only) if only else None

    def _left(self, upstream: Upstream) -> int:
        return self._limits.per_server - self._busy[upstream]
