"""Who is told when a resource changes: whoever asked for that, and may read it at that moment."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import orjson
import structlog

from interlock.bus import Effects, Envelope, Route, on
from interlock.contracts.task import TaskKind
from interlock.contracts.upstream_events import UpstreamListChanged, UpstreamResourceUpdated
from interlock.errors import Refused, Unavailable
from interlock.identity.tokens import Caller
from interlock.policy import Question, Verdict, judge
from interlock.state.interest import LASTS, Changed, Interest, Wish
from services.gateway.handlers.shelves import Shelves
from services.gateway.handlers.visible import Visible
from services.gateway.model import Front

log = structlog.get_logger()
MOST_OF_ONE = 100
"""Resources of one stream; the rest is not acknowledged."""
HEARD_SECONDS = 3.0
"""How long who subscribes waits for the upstream to be heard: as its own subscription would."""
LOOK_SECONDS = 0.05
"""Between two looks at whether it is."""
Tell = Callable[[str], None]


@dataclass(eq=False)
class _Listening:
    caller: Caller
    wishes: Mapping[Wish, str]
    """And how the caller calls each."""
    tell: Tell
    late: frozenset[Wish] = frozenset()
    """Those of which no upstream was heard when the caller was promised to be told."""


class Subscriptions:
    """Everybody in this process who listens to resources."""

    def __init__(
        self,
        interest: Interest,
        visible: Visible,
        shelves: Shelves,
        said: Callable[[Changed], None],
    ) -> None:
        """`said` is told of lists."""
        self._said = said
        self._interest = interest
        self._visible = visible
        self._shelves = shelves
        self._listening: set[_Listening] = set()
        self._new = asyncio.Event()

    def routes(self) -> Sequence[Route]:
        """What upstreams say; of several replicas one gets it, and tells all."""
        return [on(UpstreamResourceUpdated, self.updated), on(UpstreamListChanged, self.changed)]

    async def updated(self, event: Envelope[UpstreamResourceUpdated]) -> Effects:
        """Pass it on to every replica's streams. Who does not listen now is told nothing later."""
        fact = event.body
        await self._interest.tell(Changed(fact.tenant, fact.server, uri=fact.uri))
        return []

    async def changed(self, event: Envelope[UpstreamListChanged]) -> Effects:
        """The same of lists: the upstream's own word, before the registry has looked at it."""
        fact = event.body
        await self._interest.tell(Changed(fact.tenant, fact.server, lists=fact.lists))
        return []

    async def granted(
        self, caller: Caller, front: Front, uris: Sequence[str]
    ) -> Mapping[Wish, str]:
        """Those of `uris` that the caller may read as it is; of the others it learns nothing."""
        found: dict[Wish, str] = {}
        for uri in uris[:MOST_OF_ONE]:
            if front.toolset is not None:
                break
            try:
                feature = await self._shelves.resource(caller, front.server, uri)
            except Refused:
                continue
            wish = Wish(caller.principal.tenant, feature.server.name, feature.name)
            if self._may_read(caller, wish):
                found[wish] = uri
        return found

    @asynccontextmanager
    async def listening(
        self, caller: Caller, wishes: Mapping[Wish, str], tell: Tell
    ) -> AsyncIterator[None]:
        """`tell` is called with the caller's name for a resource that reads differently now.

        The block begins when all upstreams are heard, or after `HEARD_SECONDS`: what may have
        changed from then on until they are is told of once.
        """
        one = _Listening(caller, wishes, tell)
        self._listening.add(one)
        self._new.set()
        try:
            one.late = await self._unheard(wishes.keys())
            yield
        finally:
            self._listening.discard(one)

    async def expect(self, wishes: Collection[Wish]) -> None:
        """Have upstreams heard of these, as for a stream that is to come."""
        with suppress(Unavailable):  # then its stream makes up for it
            await self._interest.renew(wishes)
            await self._unheard(wishes)

    async def _unheard(self, wishes: Collection[Wish]) -> frozenset[Wish]:
        """Those of which no upstream is heard, not even after `HEARD_SECONDS`."""
        clock, unheard = asyncio.get_running_loop().time, frozenset(wishes)
        until = clock() + HEARD_SECONDS
        while unheard:
            with suppress(Unavailable):
                unheard = await self._interest.unheard(unheard)
            if not unheard or clock() >= until:
                break
            await asyncio.sleep(LOOK_SECONDS)
        return unheard

    async def renew(self) -> None:
        """Say what is wanted here, again and again, until cancelled."""
        while True:
            self._new.clear()
            wishes = {wish for one in self._listening for wish in one.wishes}
            try:
                await self._interest.renew(wishes)
                await self._make_up()
            except Unavailable as error:
                log.warning("subscriptions.not_renewed", why=error.detail)
            with suppress(TimeoutError):
                async with asyncio.timeout(LASTS / 3):
                    await self._new.wait()

    async def _make_up(self) -> None:
        """Who was promised to be told before an upstream was heard."""
        late = {wish for one in self._listening for wish in one.late}
        heard = late - await self._interest.unheard(late)
        for one in list(self._listening):
            for wish in one.late & heard:
                one.tell(one.wishes[wish])
            one.late -= heard

    async def hear(self) -> None:
        """Pass on what has changed, until cancelled; `Unavailable` while it cannot be heard."""
        async for changed in self._interest.heard():
            if changed.lists:
                self._said(changed)
            for one in list(self._listening):
                for wish, name in one.wishes.items():
                    if _is_of(changed, wish) and self._may_read(one.caller, wish):
                        one.tell(name)

    def _may_read(self, caller: Caller, wish: Wish) -> bool:
        """Whether a read would be allowed, and at once: what needs approval is not listened to."""
        server = next(
            (s for s in self._visible.servers(wish.tenant) if s.name == wish.server), None
        )
        arguments = orjson.dumps({"uri": wish.uri}).decode()
        question = Question(
            self._visible.asker(caller),
            TaskKind.READ,
            wish.server,
            server,
            None,
            arguments,
            self._visible.now(),
        )
        judgement = judge(self._visible.loaded(wish.tenant), question)
        return server is not None and judgement.verdict is Verdict.ALLOW


def _is_of(changed: Changed, wish: Wish) -> bool:
    """An upstream may tell of a part of what was subscribed to (MCP, "Subscriptions")."""
    part = changed.uri.startswith(wish.uri.rstrip("/") + "/")
    return (changed.tenant, changed.server) == wish[:2] and (changed.uri == wish.uri or part)
