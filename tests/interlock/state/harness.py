"""What the state promises need of each adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis.exceptions import ConnectionError as NoConnection

from interlock.contracts.access import AgentRecord
from interlock.state import AGENTS, CATALOGUE, POLICY, Entry, StateReader, StateWriter
from interlock.state.memory import MemoryState, MemoryStateReader, MemoryStateWriter
from interlock.state.redis import RedisStateReader, RedisStateWriter
from interlock.testing.build import KEYRING

KINDS = (AGENTS, CATALOGUE, POLICY)
PREFIX = "test:"


@dataclass
class Clock:
    """A monotonic clock that tests move."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class World:
    """One adapter: its writer, and as many readers as a test wants."""

    writer: StateWriter
    new_reader: Callable[[], StateReader]
    clock: Clock = field(default_factory=Clock)
    away: Callable[[bool], None] = lambda away: None


def memory_world() -> World:
    state, clock = MemoryState(), Clock()

    def away(is_away: bool) -> None:
        state.away = is_away

    return World(
        MemoryStateWriter(state), lambda: MemoryStateReader(state, KINDS, clock=clock), clock, away
    )


@dataclass
class Gate:
    """A client whose Redis can go away for it: every command fails as a lost connection does."""

    client: Any
    closed: bool = False

    def __getattr__(self, name: str) -> Any:
        self._pass()
        return getattr(self.client, name)

    def register_script(self, text: str) -> Any:
        script = self.client.register_script(text)

        async def run(**arguments: Any) -> Any:
            self._pass()
            return await script(**arguments)

        return run

    def _pass(self) -> None:
        if self.closed:
            raise NoConnection("Connection refused")


def redis_world(client: Any) -> World:
    gate, clock = Gate(client), Clock()

    def away(is_away: bool) -> None:
        gate.closed = is_away

    return World(
        RedisStateWriter(gate, KEYRING, prefix=PREFIX),
        lambda: RedisStateReader(gate, KEYRING, KINDS, prefix=PREFIX, clock=clock),
        clock,
        away,
    )


class Running(Protocol):
    """Something with a `run` that never ends."""

    async def run(self) -> None: ...


@asynccontextmanager
async def running(one: Running) -> AsyncIterator[None]:
    """`one.run()` beside the block."""
    task = asyncio.create_task(one.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for it, bounded."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - anything may make it true
            await asyncio.sleep(0.005)


def agent(name: str, about: str = "", tenant: str = "acme") -> AgentRecord:
    return AgentRecord(tenant=tenant, name=name, description=about)


def entry(version: int, record: AgentRecord | None, name: str = "bot") -> Entry:
    """Version `version` of agent `name`; None removes it."""
    body = None if record is None else record.model_dump_json().encode()
    tenant = "acme" if record is None else record.tenant
    return Entry("agents", tenant, name, version, body)


def abouts(records: Sequence[AgentRecord]) -> list[str]:
    return sorted(record.description for record in records)
