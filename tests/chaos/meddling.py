"""What a transport may do to a group, done on purpose: a member of it that only meddles.

It takes messages as any member would, and then repeats them, mixes them up, or leaves with them.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock.contracts.topics import SERVICES

SEED = 7
AT_ONCE = 40
"""Messages that one take gets at most."""
CONCERNS_ALL = {"ce_taskkind": "inspect"}
"""What junk says of itself: registry leaves alone what says something else."""
TURN = 0.3
"""Seconds for which messages are gathered before they are given back in another order."""


class Meddler(Protocol):
    """One more member of a group, over the raw client. What it takes is its own kind of thing."""

    async def join(self) -> None:
        """Become a member."""

    async def take(self) -> Sequence[Any]:
        """Messages that the group's other members do not get; none, after a moment, where none
        come."""

    async def put(self, taken: Sequence[Any]) -> None:
        """Give the group these messages, byte for byte, again."""

    async def junk(self, bodies: Sequence[bytes]) -> None:
        """Give the group messages that nobody signed, one of each on each of its topics; needs no
        member."""

    async def settle(self, taken: Sequence[Any]) -> None:
        """Acknowledge them."""

    async def rest(self) -> None:
        """Take no more: what comes is for the others."""

    async def leave(self) -> None:
        """Be gone, with whatever was taken and not settled."""


Meddlers = Callable[[str], Meddler]
"""A meddler for a group."""


@dataclass
class Meddling:
    """Meddlers in all groups at once, and what they did."""

    meddlers: Sequence[Meddler]
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))
    touched: int = 0
    """Deliveries that were repeated, moved or left lying."""
    seen: list[tuple[Meddler, Any]] = field(default_factory=list)
    _work: "list[asyncio.Task[None]]" = field(default_factory=list)
    _enough: bool = False

    def repeating(self) -> None:
        """From now on whatever is taken is given back twice."""
        self._begin(self._twice)

    def mixing(self) -> None:
        """From now on whatever is taken is given back later, in another order."""
        self._begin(self._mixed)

    async def again(self) -> None:
        """All that was ever taken, once more, in an order of its own."""
        for one in self.meddlers:
            mine = [taken for whose, taken in self.seen if whose is one]
            shuffled = self.chance.sample(mine, len(mine))
            for at in range(0, len(shuffled), AT_ONCE):
                await one.put(shuffled[at : at + AT_ONCE])
            self.touched += len(mine)

    async def coming_and_going(self, seconds: float) -> None:
        """Each second every group gets a member that takes what it can and leaves with it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            next_second = loop.time() + 1.0
            await asyncio.gather(*(self._visit(one) for one in self.meddlers))
            await asyncio.sleep(max(0.0, next_second - loop.time()))

    async def _visit(self, one: Meddler) -> None:
        await one.join()
        try:
            self.touched += len(await one.take())
        finally:
            await one.leave()

    def _begin(self, give_back: Callable[[Meddler], Awaitable[None]]) -> None:
        self._work = [asyncio.create_task(self._each(one, give_back)) for one in self.meddlers]

    async def _each(self, one: Meddler, give_back: Callable[[Meddler], Awaitable[None]]) -> None:
        """Never cancelled: what was taken must not be half given back."""
        while not self._enough:
            await give_back(one)
            await asyncio.sleep(0)

    async def _twice(self, one: Meddler) -> None:
        taken = await one.take()
        if taken:
            await self._give(one, [*taken, *taken], taken)

    async def _mixed(self, one: Meddler) -> None:
        loop = asyncio.get_running_loop()
        taken: list[Any] = []
        until = loop.time() + TURN
        while loop.time() < until:
            taken += await one.take()
        if taken:
            await self._give(one, self.chance.sample(taken, len(taken)), taken)

    async def _give(self, one: Meddler, given: Sequence[Any], taken: Sequence[Any]) -> None:
        self.seen += [(one, message) for message in taken]
        self.touched += len(given)
        await one.put(given)
        await one.settle(taken)

    async def done(self) -> None:
        """It is enough: what was taken is given back, and nothing more is taken.

        Raises what ended a meddler before: from then on the fault was not there.
        """
        self._enough = True
        ended = await asyncio.gather(*self._work, return_exceptions=True)
        self._work = []
        for one in self.meddlers:
            await one.rest()
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure


@asynccontextmanager
async def meddling(meddlers: Meddlers) -> AsyncIterator[Meddling]:
    """Meddlers in every group, who have joined, for as long as the block lasts."""
    async with AsyncExitStack() as stack:
        made = [meddlers(group) for group in SERVICES]
        for one in made:
            await one.join()
            stack.push_async_callback(one.leave)
        at_work = Meddling(made)
        stack.push_async_callback(at_work.done)
        yield at_work
