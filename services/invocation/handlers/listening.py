"""One process of many listens to the upstreams of the catalogue, for all of them.

It holds a lease, which ends when its counter has not moved for `lease_seconds` of an observer's
monotonic clock; whoever takes over looks at everything, so nothing is lost that was said meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from interlock.contracts.catalogue import ServerRecord
from interlock.errors import Unavailable
from interlock.state.interest import Interest, Wish
from services.invocation.handlers.around import Around
from services.invocation.handlers.following import Following, LeaseOver
from services.invocation.model import Listener, Upstream
from services.invocation.store import HeardStore

log = structlog.get_logger()
BEATS = 4
"""Signs of life, and looks at the catalogue, in the time after which a lease ends."""
CLOSE_SECONDS = 5.0
"""For listeners to take their leave of upstreams."""


class _Followed(NamedTuple):
    record: ServerRecord
    following: Following
    task: "asyncio.Task[None]"


@dataclass
class _Watched:
    """The lease as an observer last saw it move."""

    listener: Listener
    since: float


class Listening:
    """Listens while it holds the lease, and else watches who does."""

    def __init__(
        self,
        around: Around,
        store: HeardStore,
        interest: Interest,
        clock: Callable[[], float],
        look_seconds: float,
    ) -> None:
        """`clock` is monotonic."""
        self._around = around
        self._interest = interest
        self._store = store
        self._clock = clock
        self._look_seconds = look_seconds
        self._held: Listener | None = None
        self._watched: _Watched | None = None
        self._following: dict[Upstream, _Followed] = {}
        self._opened = asyncio.Event()

    @property
    def listens(self) -> bool:
        """Whether this process holds the lease."""
        return self._held is not None

    async def run(self) -> None:
        """Until cancelled; then others may listen."""
        try:
            while True:
                self._opened.clear()
                await self.step()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._around.limits.lease_seconds / BEATS):
                        await self._opened.wait()
        finally:
            await self._stop()
            if self._held is not None:
                with suppress(Unavailable):
                    await self._store.leave(self._held)
                self._held = None

    async def step(self) -> None:
        """One sign of life, or one look at whose turn it is. A database that is away is waited for:
        who cannot show life stops listening before others believe that it may."""
        try:
            held = await self._beat() if self._held is not None else await self._watch()
        except Unavailable as error:
            log.warning("listening.paused", why=error.detail)
            held = None
        if held is None:
            await self._stop()
        self._held = held
        if not self._around.published.fresh:
            return
        servers = self._around.published.servers()
        self._around.upstream.only({(one.tenant, one.name, one.connection) for one in servers})
        if held is not None:
            await self._follow(held, servers)
            await self._want()

    async def _beat(self) -> Listener | None:
        assert self._held is not None
        held = await self._store.beat(self._held)
        if held is None:
            log.warning("listening.lost", owner=self._around.owner)
        return held

    async def _watch(self) -> Listener | None:
        seen, clock = await self._store.listener(), self._clock()
        watched = self._watched
        if watched is None or watched.listener != seen:
            self._watched = watched = _Watched(seen, clock)
        quiet = clock - watched.since
        if seen.owner is not None and quiet < self._around.limits.lease_seconds:
            return None
        taken = await self._store.take(seen, self._around.owner)
        if taken is not None:
            self._watched = None
            log.info("listening.taken_over", owner=taken.owner, fence=taken.fence, was=seen.owner)
        return taken

    async def _follow(self, held: Listener, servers: Sequence[ServerRecord]) -> None:
        """One listener for each server that there is, at the connection that it has."""
        wanted = {(one.tenant, one.name): one for one in servers}
        over = [
            upstream
            for upstream, one in self._following.items()
            if one.task.done()
            or upstream not in wanted
            or wanted[upstream].connection != one.record.connection
        ]
        await _cancelled([self._following.pop(upstream).task for upstream in over])
        for upstream, record in wanted.items():
            if upstream not in self._following:
                following = Following(self._around, self._store, held, record, self._look_seconds)
                task = asyncio.create_task(self._run(following), name=f"follow {record.name}")
                task.add_done_callback(_ended)
                self._following[upstream] = _Followed(record, following, task)

    async def _want(self) -> None:
        """Tell each which of its resources somebody wants to hear of, and doors which are heard."""
        try:
            await self._interest.hear(
                [
                    Wish(*upstream, uri)
                    for upstream, one in self._following.items()
                    for uri in one.following.heard
                ]
            )
            wishes = await self._interest.wanted()
        except Unavailable as error:
            log.warning("listening.wishes_unread", why=error.detail)
            return
        wanted: dict[Upstream, set[str]] = {}
        for wish in wishes:
            wanted.setdefault((wish.tenant, wish.server), set()).add(wish.uri)
        for upstream, one in self._following.items():
            one.following.want(frozenset(wanted.get(upstream, ())), self._opened.set)

    async def _run(self, following: Following) -> None:
        try:
            await following.run()
        except* LeaseOver:
            log.warning("listening.lost", owner=self._around.owner)

    async def _stop(self) -> None:
        await _cancelled([one.task for one in self._following.values()])
        self._following = {}


def _ended(task: "asyncio.Task[None]") -> None:
    """The next look at the catalogue begins it again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("listening.failed", task=task.get_name(), error=repr(error))


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
