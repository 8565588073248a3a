"""Tasks asked for in every way there is, by callers who repeat themselves until they are heard."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from interlock.errors import Refused, Unavailable, Unsure
from interlock.sdk import BusAgent, Interlock, Outcome, Submission
from tests.chaos.scale import scaled
from tests.components.crm import NOT_REPEATABLE, REPEATABLE, SERVER, arguments
from tests.components.world import World

T = TypeVar("T")
CALLERS = scaled(8, 32)
IN_FLIGHT = 32
PATIENCE = scaled(250, 900)
"""Seconds without a task accepted or ended after which what is awaited counts as never coming: a
slow machine takes longer, and counts the same."""
PAUSE = 0.1
"""Seconds before a caller says again what was not heard."""


@dataclass
class Load:
    """What was asked for so far, by task id."""

    client: Interlock
    agent: BusAgent
    name: str
    """Begins its tasks' keys."""
    asked: dict[str, str] = field(default_factory=dict)
    """Task id → tool. Only tasks that were accepted: 202 at the door, or appended to the bus."""
    refusals: int = 0
    """How often nobody was there, or said 503."""
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)
    _limits: set[asyncio.Timeout] = field(default_factory=set)

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """TimeoutError once nothing has moved for so long."""
        async with asyncio.timeout(PATIENCE) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    def _moved(self) -> None:
        until = asyncio.get_running_loop().time() + PATIENCE
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(until)

    async def run(self, tasks: int) -> None:
        """Ask for so many tasks, and await no end."""
        free = asyncio.Semaphore(IN_FLIGHT)

        async def one(n: int) -> None:
            async with free:
                await self.ask(n, f"{self.name}-{n}")

        async with self.patience():
            await asyncio.gather(*(one(n) for n in range(tasks)))

    async def flow(self, over: asyncio.Event, at_least: int) -> None:
        """Until it is over, and for so many tasks, callers ask for one, follow it to its end, and
        ask for the next: half may be repeated, a quarter comes over the bus."""
        numbers = itertools.count()

        async def caller() -> None:
            while (n := next(numbers)) < at_least or not over.is_set():
                await self.follow(n)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    async def follow(self, n: int, name: str = "task") -> None:
        """Ask for task `n`, and await its end."""
        task = await self.ask(n, f"{self.name}-{name}-{n}")
        await self.repeat(partial(self._end, task, {}))

    async def ask(self, n: int, key: str) -> str:
        """Ask for task `n` until it is accepted; its id."""
        tool = REPEATABLE if n % 2 == 0 else NOT_REPEATABLE
        over = self._over_bus if n % 4 >= 2 and n % 8 < 4 else self._over_http
        task = await self.repeat(lambda: over(tool, n, key))
        async with self._more:
            self.asked[task] = tool
            self._moved()
            self._more.notify_all()
        return task

    async def accepted(self, count: int) -> None:
        """Until that many were accepted."""
        async with self.patience(), self._more:
            await self._more.wait_for(lambda: len(self.asked) >= count)

    async def ended(self) -> dict[str, Outcome]:
        """How each task ended, once it has; where it stands, once patience is at its end."""
        free = asyncio.Semaphore(IN_FLIGHT)
        found: dict[str, Outcome] = {}

        async def one(task: str) -> None:
            async with free:
                await self.repeat(lambda: self._end(task, found))

        with suppress(TimeoutError):
            async with self.patience():
                await asyncio.gather(*map(one, self.asked))
        return found

    async def repeat(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it again while nobody is there."""
        while True:
            try:
                return await work()
            except (Unavailable, Unsure):  # each has its key
                self.refusals += 1
                await asyncio.sleep(PAUSE)

    async def _over_http(self, tool: str, n: int, key: str) -> str:
        said = arguments(tool, n)
        return (await self.client.submit(SERVER, tool, said, idempotency_key=key)).id

    async def _over_bus(self, tool: str, n: int, key: str) -> str:
        (task,) = await self.agent.submit([Submission(key, SERVER, tool, arguments(tool, n))])
        return task

    async def _end(self, task: str, found: dict[str, Outcome]) -> None:
        try:
            found[task] = outcome = await self.client.task(task).outcome(2)
        except Refused as error:
            if error.code != "not_found":
                raise
            raise Unavailable("auth has not spoken yet") from None
        if not outcome.state.final:
            raise Unavailable(f"it is `{outcome.state}`")
        self._moved()


@asynccontextmanager
async def load_on(world: World, name: str = "load") -> AsyncIterator[Load]:
    """Callers of a suite."""
    async with (
        Interlock(world.suite.url, world.key) as client,
        BusAgent(world.suite.bus_url, world.bus_key, prefix=world.suite.prefix) as agent,
    ):
        yield Load(client, agent, name)
