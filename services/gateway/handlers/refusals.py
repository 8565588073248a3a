"""What the door turned away is stated to audit: each of a known caller, a count of the others.

Never in the way of an answer: statements wait in memory until the bus takes them. What would pile
up while it is away is counted instead.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from interlock.bus import Bus, Raw, Stamp
from interlock.contracts.outcomes import DoorRefused
from interlock.errors import InterlockError, Unavailable
from interlock.identity.tokens import Caller

MOST_WAITING = 10_000
MOST_KINDS = 1_000
LONGEST = 1_000
"""Characters of any text that a caller may have had a hand in."""
EVERY = 60.0
"""Seconds between statements of what is counted."""
NOBODY = "-"


@dataclass(frozen=True, slots=True)
class _Kind:
    tenant: str
    code: str


class Refusals:
    """All refusals of one replica's door."""

    def __init__(self, bus: Bus, stamp: Stamp, new_id: Callable[[], str]) -> None:
        self._bus = bus
        self._stamp = stamp
        self._new_id = new_id
        self._waiting: deque[Raw] = deque()
        self._counted: Counter[_Kind] = Counter()
        self._more = asyncio.Event()

    def note(
        self,
        error: InterlockError,
        caller: Caller | None,
        server: str | None = None,
        tool: str | None = None,
    ) -> None:
        """A request was refused for `error`."""
        if caller is None or len(self._waiting) >= MOST_WAITING:
            tenant = NOBODY if caller is None else caller.principal.tenant
            kind = _Kind(tenant, error.code)
            if kind in self._counted or len(self._counted) < MOST_KINDS:
                self._counted[kind] += 1
            return
        fact = DoorRefused(
            tenant=caller.principal.tenant,
            door="gateway",
            request_id=self._new_id(),
            code=error.code,
            reason=error.detail[:LONGEST],
            principal=caller.principal,
            server=server and server[:LONGEST],
            tool=tool and tool[:LONGEST],
        )
        self._waiting.append(self._stamp.from_journal(fact, (0, 0), None))
        self._more.set()

    async def run(self) -> None:
        """State what is known at once, and what is counted every minute and at the end."""
        counting = asyncio.ensure_future(self._count())
        try:
            while True:
                await self.flush()  # first what an outage of the bus has left
                await self._more.wait()
                self._more.clear()
        except asyncio.CancelledError:
            self.state_counts()
            with suppress(Unavailable):
                await self.flush()
            raise
        finally:
            counting.cancel()

    async def flush(self) -> None:
        """Publish what waits; it stays where the bus did not take it."""
        while self._waiting:
            some = list(self._waiting)[:100]
            await self._bus.publish(some)
            for _ in some:
                self._waiting.popleft()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.state_counts()

    def state_counts(self) -> None:
        """What was counted so far becomes statements."""
        counted, self._counted = self._counted, Counter()
        for kind, count in counted.items():
            fact = DoorRefused(
                tenant=kind.tenant,
                door="gateway",
                request_id=self._new_id(),
                code=kind.code,
                reason=f"`{count}` requests were refused with `{kind.code}`",
                count=count,
            )
            self._waiting.append(self._stamp.from_journal(fact, (0, 0), None))
            self._more.set()
