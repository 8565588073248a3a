"""What one upstream says of itself, and what a look at it shows: only changes are stated."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from interlock.bus import Raw
from interlock.contracts.catalogue import ServerRecord
from interlock.contracts.ids import derived
from interlock.contracts.message import Fact
from interlock.contracts.upstream_events import (
    UpstreamChanged,
    UpstreamList,
    UpstreamListChanged,
    UpstreamResourceUpdated,
)
from interlock.errors import Refused, Unavailable
from services.invocation.clients import Connection, Hear, Notice, UpstreamError, Wanted
from services.invocation.handlers.around import Around
from services.invocation.model import Heard, Listener, Lists, Upstream
from services.invocation.store import HeardStore

log = structlog.get_logger()
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds before an upstream that went away is asked again; doubled each time, with jitter."""
GATHER_SECONDS = 0.25
"""The first word of a burst is passed on at once; what follows within that goes out together."""
OPENED_SECONDS = 5.0
"""For a stream that replaces another to be heard before that is let go."""
MOST_URIS = 1000
"""Resources that are waiting to be told of; more of a burst are one too many to be news."""


class LeaseOver(Exception):
    """Somebody else listens by now."""


@dataclass(eq=False)
class _Stream:
    """One on which an upstream tells of resources."""

    uris: frozenset[str] = frozenset()
    unheard: frozenset[str] = frozenset()
    """Of those, what may have changed with nobody to hear it when it opens."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    cannot_tell: bool = False

    @property
    def owed(self) -> frozenset[str]:
        """What may have changed by now with nobody to hear it."""
        return frozenset() if self.opened.is_set() else self.unheard


class Following:
    """Follows one upstream under one lease."""

    def __init__(
        self,
        around: Around,
        store: HeardStore,
        lease: Listener,
        record: ServerRecord,
        look_seconds: float,
    ) -> None:
        self._around = around
        self._store = store
        self._lease = lease
        self._record = record
        self._connection = Connection(record.tenant, record.name, record.connection)
        self._look_seconds = look_seconds
        self._news = asyncio.Event()
        self._lists: set[UpstreamList] = set()
        self._uris: set[str] = set()
        self._look = True
        self._said: set[UpstreamList] = set()
        self._updates = 0
        self._wanted: frozenset[str] | None = None
        self._owed: frozenset[str] = frozenset()
        self._stream = _Stream()
        self._opened: Callable[[], None] = lambda: None
        self._wants = asyncio.Event()
        self._news.set()

    @property
    def upstream(self) -> Upstream:
        return self._record.tenant, self._record.name

    @property
    def heard(self) -> frozenset[str]:
        """The resources of which whatever the upstream says is heard; all, where it cannot tell."""
        stream = self._stream
        return stream.uris if stream.opened.is_set() or stream.cannot_tell else frozenset()

    def want(self, uris: frozenset[str], opened: Callable[[], None]) -> None:
        """These resources are listened to from now on, and no others; `opened` is called whenever
        more of them are `heard`. What is wanted at first may have been so for long."""
        self._opened = opened
        if self._wanted is None:
            self._owed = uris
        if uris != (self._wanted or frozenset()):
            self._wants.set()
        self._wanted = uris

    async def run(self) -> None:
        """Until cancelled; `LeaseOver` when it is somebody else's to do."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(Wanted(lists=frozenset(UpstreamList)), self._hear))
            tasks.create_task(self._subscribe())
            tasks.create_task(self._tell())

    async def _subscribe(self) -> None:
        """Listen to resources while somebody wants that; for a moment twice when that changes."""
        listening: list[asyncio.Task[None]] = []
        try:
            while True:
                await self._wants.wait()
                self._wants.clear()
                before, listening = listening, []
                owed, self._owed = self._owed | self._stream.owed, frozenset()
                wanted = self._wanted or frozenset()
                stream = self._stream = _Stream(wanted, wanted & owed)
                if stream.uris:
                    told, over = partial(self._updated, stream), partial(self._broken, stream)
                    listens = self._listen(Wanted(uris=stream.uris), told, over)
                    listening = [asyncio.create_task(listens)]
                    with suppress(TimeoutError):
                        async with asyncio.timeout(OPENED_SECONDS):
                            await stream.opened.wait()
                await _ended(before)
        finally:
            await _ended(listening)

    def _updated(self, stream: _Stream, notice: Notice) -> None:
        """Where a stream was broken, or another process heard the upstream before, all are told
        once that the resource may have changed: nothing repeats what was said meanwhile. Who
        subscribes is not: it is `heard` before a door promises anything."""
        if notice.uri is not None:
            self._hear(notice)
            return
        stream.opened.set()
        unheard, stream.unheard = stream.unheard, stream.uris
        for uri in sorted(unheard):
            self._hear(Notice(uri=uri))
        self._opened()

    def _broken(self, stream: _Stream, can_tell: bool) -> None:
        stream.opened.clear()
        stream.cannot_tell = not can_tell
        if not can_tell:
            self._opened()

    async def _listen(
        self, wanted: Wanted, hear: Hear, over: Callable[[bool], None] = lambda can_tell: None
    ) -> None:
        """Again and again; `over` is called after each break, with whether the server can tell.
        Then the lists are looked at: nobody repeats what it said.

        A server that cannot tell is only looked at, from time to time.
        """
        pause = FIRST_PAUSE
        while True:
            began, can_tell = asyncio.get_running_loop().time(), True
            try:
                await self._around.upstream.listen(self._connection, wanted, hear)
                pause, can_tell = max(pause, self._look_seconds), False
            except (UpstreamError, Refused) as error:
                log.info("upstream.not_heard", server=self._record.name, why=error.detail)
            over(can_tell)
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * (0.5 + self._around.chance()))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _hear(self, notice: Notice) -> None:
        if notice.uri is not None and len(self._uris) < MOST_URIS:
            self._uris.add(notice.uri)
        self._lists |= notice.lists
        self._look |= notice.uri is None
        self._news.set()

    async def _tell(self) -> None:
        """State what was heard at once, then look whether it is all that has changed."""
        pause = FIRST_PAUSE
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._news.wait()
            self._look |= not self._news.is_set()
            self._news.clear()
            try:
                await self._told()
                await asyncio.sleep(GATHER_SECONDS)
                if self._look:
                    self._look = False
                    await self._looked()
            except (UpstreamError, Refused, Unavailable) as error:
                log.info("upstream.not_seen", server=self._record.name, why=error.detail)
                self._look = True
                self._news.set()
                await asyncio.sleep(pause * (0.5 + self._around.chance()))
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE

    async def _told(self) -> None:
        """What the upstream said."""
        while self._uris:
            uri = min(self._uris)
            tenant, server = self.upstream
            fact = UpstreamResourceUpdated(tenant=tenant, server=server, uri=uri)
            await self._publish(fact, self._lease.fence, self._updates)
            self._updates += 1
            self._uris.discard(uri)
        if self._lists:
            lists = frozenset(self._lists)
            heard = await self._store.heard(self.upstream) or self._never()
            await self._state(Heard(heard.seq + 1, heard.lists), lists)
            self._lists -= lists
            self._said |= lists

    async def _looked(self) -> None:
        """What a look shows, beside what the upstream said since the last one."""
        said, self._said = frozenset(self._said), set()
        found = await self._around.upstream.inspect(self._connection)
        heard = await self._store.heard(self.upstream) or self._never()
        if self._lists:  # it told meanwhile: that goes first
            self._look, self._said = True, self._said | said
            return
        lists = Lists.seen(found)
        changed = heard.lists.differing(lists)
        if changed - said:
            await self._state(Heard(heard.seq + 1, lists), changed - said)
        elif changed:
            await self._note(Heard(heard.seq, lists))

    def _never(self) -> Heard:
        """Before the first look: what the catalogue knows is what was stated."""
        return Heard(0, Lists.pinned(self._record))

    async def _state(self, heard: Heard, lists: frozenset[UpstreamList]) -> None:
        """Publish, then keep: a repetition after a crash has the same id."""
        tenant, server = self.upstream
        fact = UpstreamListChanged(tenant=tenant, server=server, lists=tuple(sorted(lists)))
        await self._publish(fact, heard.seq)
        await self._note(heard)

    async def _note(self, heard: Heard) -> None:
        if not await self._store.note(self._lease, self.upstream, heard):
            raise LeaseOver

    async def _publish(self, fact: UpstreamChanged, *place: int) -> None:
        await self._around.bus.publish([self._raw(fact, *place)])

    def _raw(self, fact: Fact, *place: int) -> Raw:
        """Ids follow from what is numbered: the change of a server, or what one holder heard."""
        made = derived(*self.upstream, self._around.stamp.source, fact.type, *place)
        return self._around.stamp.state(fact, made, None, None)


async def _ended(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
