"""Who is told when a list changes: each caller of the lists that it sees, and of nothing else.

Lists follow from published state, so every replica notices by itself. The lists of those who listen
are looked at again when a version of what they rest on has grown.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from interlock.errors import Refused
from interlock.identity.tokens import Caller
from interlock.state.interest import Changed
from services.gateway.handlers.shelves import Shelf, Shelves
from services.gateway.handlers.visible import Visible
from services.gateway.model import Front

MOST = 10_000
"""Streams in one process."""
LOOK_SECONDS = 0.05
"""Between two looks at the versions; they are in memory. What has changed is told at once."""
LOOKS = 10
"""Looks at versions for one look at whose access has ended."""
TOOLS, PROMPTS, RESOURCES = "tools", "prompts", "resources"


@dataclass(eq=False)
class _Listening:
    caller: Caller
    front: Front
    tell: Callable[[str], None]
    over: Callable[[], None]
    seen: dict[str, int]


class Changes:
    """Everybody in this process who listens."""

    def __init__(
        self,
        visible: Visible,
        shelves: Shelves,
        stands: Callable[[Caller], bool],
        stopping: asyncio.Event,
    ) -> None:
        self._visible = visible
        self._shelves = shelves
        self._stands = stands
        self._stopping = stopping
        self._listening: set[_Listening] = set()

    @contextmanager
    def listening(
        self,
        caller: Caller,
        front: Front,
        tell: Callable[[str], None],
        over: Callable[[], None],
    ) -> Iterator[None]:
        """`tell` is called with the name of a list that has changed since; `over` when the caller's
        access ends, or the process. `Refused` (`too_many`) where many listen already."""
        if len(self._listening) >= MOST:
            raise Refused(
                f"`{MOST}` streams listen here already; ask for lists instead", code="too_many"
            )
        one = _Listening(caller, front, tell, over, {})
        one.seen = self._seen(one)
        self._listening.add(one)
        try:
            yield
        finally:
            self._listening.discard(one)

    def said(self, changed: Changed) -> None:
        """Pass an upstream's own word on to who sees anything of it on such a list.

        What becomes of the change is told again once it is there to be seen.
        """
        for one in list(self._listening):
            if one.caller.principal.tenant == changed.tenant:
                for name in changed.lists:
                    if changed.server in self._servers(one, name):
                        one.tell(name)

    def _servers(self, one: _Listening, name: str) -> set[str]:
        """Whose offers a list shows."""
        if name == TOOLS:
            return {offer.server.name for offer in self._visible.of(one.caller, one.front)}
        shelves = {PROMPTS: (Shelf.PROMPTS,), RESOURCES: (Shelf.RESOURCES, Shelf.TEMPLATES)}
        return {
            item.server.name
            for shelf in shelves.get(name, ())
            for item in self._shelves.of(one.caller, shelf, one.front)
        }

    async def run(self) -> None:
        """Look, until the process is told to stop; then let all streams end."""
        versions, looks = self._visible.versions, 0
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stopping.wait()
            looks += 1
            if looks % LOOKS == 0:
                self._end(lambda one: not self._stands(one.caller))
            if versions != self._visible.versions:
                versions = self._visible.versions
                self._look()
        self._end(lambda one: True)

    def _look(self) -> None:
        for one in list(self._listening):
            seen = self._seen(one)
            for name in seen:
                if seen[name] != one.seen[name]:
                    one.tell(name)
            one.seen = seen

    def _end(self, ended: Callable[[_Listening], bool]) -> None:
        for one in [one for one in self._listening if ended(one)]:
            one.over()

    def _seen(self, one: _Listening) -> dict[str, int]:
        """A fingerprint of each list; good enough to tell that one is not the same any more."""
        tools = self._visible.of(one.caller, one.front)
        return {
            TOOLS: hash(tuple((offer.qualified, offer.tool.digest) for offer in tools)),
            PROMPTS: self._shelf(one, (Shelf.PROMPTS,)),
            RESOURCES: self._shelf(one, (Shelf.RESOURCES, Shelf.TEMPLATES)),
        }

    def _shelf(self, one: _Listening, shelves: Sequence[Shelf]) -> int:
        listed = [
            (item.server.name, item.record.name, item.record.digest)
            for shelf in shelves
            for item in self._shelves.of(one.caller, shelf, one.front)
        ]
        return hash(tuple(listed))
