"""The in-memory twin of published state, for tests.

As with the real one, a reader sees a change when `run` follows it, or after `load` or `confirm`;
here at once, so that no test has to wait for it.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

from interlock.contracts.message import Model
from interlock.errors import Unavailable
from interlock.state.port import Entry, Kind, R, View
from interlock.state.records import Records

STALE_SECONDS = 5.0


class MemoryState:
    """The shared place; `away` plays an outage."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, str], Entry] = {}
        self.away = False
        self.hints: list[tuple[str, asyncio.Queue[tuple[str, str]]]] = []
        self.followers: list[Callable[[], None]] = []
        """Told of each change."""

    def publish(self, kind: Kind[Model], tenant: str, field: str, record: Model | None) -> None:
        """What an owner's store and relay do together: the next version, written."""
        last = self.entries.get((kind.name, tenant, field))
        body = None if record is None else record.model_dump_json().encode()
        version = last.version + 1 if last else 1
        self.store([Entry(kind.name, tenant, field, version, body)])

    def store(self, entries: Sequence[Entry]) -> None:
        """Each whose version is higher than what is there; `Unavailable` while `away`."""
        self.ask()
        for entry in entries:
            key = (entry.kind, entry.tenant, entry.field)
            if key not in self.entries or self.entries[key].version < entry.version:
                self.entries[key] = entry
        for follow in self.followers:
            follow()

    def ask(self) -> None:
        """Raise `Unavailable` while `away`."""
        if self.away:
            raise Unavailable("published state is away")


class MemoryStateWriter:
    """`StateWriter` on a `MemoryState`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def write(self, entries: Sequence[Entry]) -> None:
        self._state.store(entries)


class MemoryStateReader:
    """`StateReader` on a `MemoryState`; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        state: MemoryState,
        kinds: Sequence[Kind[Any]],
        *,
        clock: Callable[[], float] = time.monotonic,
        poll_seconds: float = 0.01,
    ) -> None:
        self._state = state
        self._views = {kind.name: Records[Model](kind, self.load) for kind in kinds}
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._refreshed_at = -math.inf

    def view(self, kind: Kind[R]) -> View[R]:
        return cast("View[R]", self._views[kind.name])

    @property
    def fresh(self) -> bool:
        return self._clock() - self._refreshed_at < STALE_SECONDS

    async def load(self) -> None:
        self._state.ask()
        self._look()

    def _look(self) -> None:
        for name, view in self._views.items():
            view.take([entry for entry in self._state.entries.values() if entry.kind == name])
        self._refreshed_at = self._clock()

    async def want(self, kind: Kind[Any], tenant: str, field: str) -> None:
        self._state.ask()
        for name, hints in self._state.hints:
            if name == kind.name:
                hints.put_nowait((tenant, field))

    async def wanted(self, kind: Kind[Any]) -> AsyncIterator[tuple[str, str]]:
        hints: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._state.hints.append((kind.name, hints))
        while True:
            yield await hints.get()

    async def run(self) -> None:
        self._state.followers.append(self._look)
        try:
            while True:
                if not self._state.away:
                    self._look()
                await asyncio.sleep(self._poll_seconds)
        finally:
            self._state.followers.remove(self._look)
