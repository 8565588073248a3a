"""Waiting for news of a task: subscribe, then read, then read again every second (DESIGN §5)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from interlock.errors import Unavailable
from services.gateway.decide.merge import merge
from services.gateway.model import Happened, Place, Snapshot
from services.gateway.store import Snapshots

LOOK_AGAIN = 1.0
Moved = Callable[[Snapshot], Awaitable[bool]]
"""Whether all is told that led to where a task stands; else it wants to be asked again."""
Patience = Callable[[Snapshot], float]
"""How many seconds, from the start, the waiting may take for a task that stands like this."""


class Watch:
    """One waiter's view of one task."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.snapshot: Snapshot | None = None
        self.behind = False
        """There is news that `snapshot` does not have."""
        self._early: Snapshot | None = None
        self._told = False
        self._waiter: asyncio.Future[None] | None = None

    def begin(self, snapshot: Snapshot) -> None:
        """Where the watching begins; what was heard before is not forgotten."""
        early = self._early
        if early is not None and early.rank > snapshot.rank:
            snapshot = replace(early, created_at=snapshot.created_at)
        self.snapshot = snapshot

    def tell(self, event: Happened | None) -> None:
        """News: the fact itself where this replica merged it, else only that there is some."""
        if event is None:
            self.behind = True
        elif self.snapshot is None:
            self._early = merge(self._early, event)
        else:
            self.snapshot = merge(self.snapshot, event)
        self._told = True
        self._wake()

    def renew(self, snapshot: Snapshot | None) -> None:
        """What the store says, unless news came that it did not have yet."""
        if snapshot is None:
            return
        if self.snapshot is None or snapshot.rank >= self.snapshot.rank:
            self.snapshot = snapshot
        self.behind = False

    async def news(self, seconds: float) -> bool:
        """Wait for news; False if there was none in time."""
        if not self._told:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        told, self._told = self._told, False
        return told

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Waiters:
    """Everybody in this process who waits for a task."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._watches: dict[Place, set[Watch]] = {}

    @property
    def closing(self) -> bool:
        """The process was told to stop: nobody waits any longer."""
        return self._stopping.is_set()

    @contextmanager
    def watch(self, place: Place) -> Iterator[Watch]:
        """From here on nothing is missed."""
        watch = Watch(place)
        self._watches.setdefault(place, set()).add(watch)
        try:
            yield watch
        finally:
            others = self._watches[place]
            others.discard(watch)
            if not others:
                del self._watches[place]

    def tell(self, place: Place, event: Happened | None = None) -> None:
        """Wake whoever waits for the task."""
        for watch in self._watches.get(place, ()):
            watch.tell(event)

    async def run(self) -> None:
        """Wake all when the process is told to stop."""
        await self._stopping.wait()
        for place in self._watches:
            self.tell(place)


async def until_final(
    watch: Watch,
    waiters: Waiters,
    store: Snapshots,
    patience: Patience,
    moved: Moved | None = None,
) -> Snapshot:
    """The task when it has ended, when patience has, or when the process stops.

    `watch.snapshot` must be there. `moved` is told where the task stands, again and again, of its
    end too; it may take its time, and unless the process stops nothing is returned before it has
    told all.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        snapshot = watch.snapshot
        assert snapshot is not None
        left = patience(snapshot) - (clock() - began)
        whole = moved is None or await moved(snapshot)
        over = snapshot.final or left <= 0
        if (over and whole) or waiters.closing:
            return snapshot
        heard = await watch.news(LOOK_AGAIN if over else min(left, LOOK_AGAIN))
        if watch.behind or not heard:
            with suppress(Unavailable):  # it is accepted: an outage only delays what we know
                watch.renew(await store.read(watch.place))
