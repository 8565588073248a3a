"""One row while it is played: the load, the fault's surroundings, what came of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from interlock.sdk import Outcome
from tests.chaos.load import Load
from tests.chaos.meddling import Meddlers
from tests.chaos.stands import Stand
from tests.components.crm import NOT_REPEATABLE
from tests.components.suite import Suite, until

PROBES = 8


class Recovery(NamedTuple):
    """Seconds from a fault's end (a kill has only that) until tasks asked for then had ended."""

    first: float
    last: float
    """Of eight: one part of a divided topic may come back later than another."""


@dataclass
class Scene:
    """A stand under load."""

    stand: Stand
    load: Load
    tasks: int
    """How many are asked for at least."""
    flow: "asyncio.Task[None]"
    over: asyncio.Event
    """Ends the flow of tasks, once there were enough."""
    touched: int = 0
    """Deliveries that were meddled with, where that is the fault."""
    _recoveries: "list[asyncio.Task[Recovery]]" = field(default_factory=list)

    @property
    def suite(self) -> Suite:
        return self.stand.suite

    @property
    def meddlers(self) -> Meddlers:
        return lambda group: self.stand.transport.meddler(self.suite, group)

    def recovers(self) -> None:
        """The fault is over at this moment: measure from here on."""
        self._recoveries.append(asyncio.create_task(self._probe(len(self._recoveries))))

    async def recovered(self) -> list[Recovery]:
        """All recoveries so far, once they are complete."""
        return await asyncio.gather(*self._recoveries)

    async def finish(self) -> dict[str, Outcome]:
        """No more tasks; how each of them ended."""
        self.over.set()
        await self.flow
        return await self.load.ended()

    async def under_way(self, more: int = 10) -> None:
        """Until more calls that may not be repeated have begun: the last ones are under way."""
        begun = await asyncio.to_thread(self.stand.world.crm.begun, NOT_REPEATABLE)
        await self.until(
            lambda: self.stand.world.crm.begun(NOT_REPEATABLE) >= begun + more, "calls have begun"
        )

    async def by_hand(self, work: Callable[[], object]) -> None:
        """Do what blocks and may start a server."""
        await asyncio.get_running_loop().run_in_executor(self.stand.hands, work)

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for it beside the load."""
        await asyncio.to_thread(until, true, what)

    async def _probe(self, turn: int) -> Recovery:
        began = time.monotonic()

        async def one(n: int) -> float:
            await self.load.follow(8 * n, f"probe-{turn}")
            return time.monotonic() - began

        took = await asyncio.gather(*(one(n) for n in range(PROBES)))
        return Recovery(min(took), max(took))
