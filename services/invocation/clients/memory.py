"""The twin in memory: answers as it is told, and remembers what it was asked."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from interlock.contracts.catalogue import Inspection
from services.invocation.clients.port import (
    Connection,
    Hear,
    Notice,
    Place,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
    Wanted,
)


class MemoryUpstream:
    """`answer` plays the tools; `servers` are what can be inspected, by server name."""

    def __init__(
        self,
        answer: Callable[[UpstreamCall], Awaitable[UpstreamAnswer]],
        servers: Mapping[str, Inspection] | None = None,
    ) -> None:
        self._answer = answer
        self.servers = dict(servers or {})
        self.looks = 0
        """How often anything was inspected."""
        self.listening: list[tuple[Connection, Wanted]] = []
        self._hearing: dict[str, set[Hear]] = {}
        self._broken = asyncio.Event()
        self.calls: list[UpstreamCall] = []

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        self.calls.append(request)
        return await self._answer(request)

    async def inspect(self, connection: Connection, seconds: float = 30.0) -> Inspection:
        if connection.server not in self.servers:
            raise UpstreamError(Reach.NOT_SENT, f"nobody answers for `{connection.server}`")
        self.looks += 1
        return self.servers[connection.server]

    async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
        if connection.server not in self.servers:
            raise UpstreamError(Reach.NOT_SENT, f"nobody answers for `{connection.server}`")
        mine, asked = self._hearing.setdefault(connection.server, set()), (connection, wanted)
        mine.add(hear)
        self.listening.append(asked)
        try:
            hear(Notice())
            await self._broken.wait()
        finally:
            mine.discard(hear)
            self.listening.remove(asked)
        raise UpstreamError(Reach.LOST, f"`{connection.server}` has hung up")

    def only(self, wanted: Collection[Place]) -> None:
        """Nothing is open."""

    def say(self, server: str, notice: Notice) -> None:
        """Tell all who listen to a server."""
        for hear in list(self._hearing.get(server, ())):
            hear(notice)

    def hang_up(self) -> None:
        """End all listening; it may be begun again."""
        self._broken.set()
        self._broken = asyncio.Event()

    async def close(self) -> None:
        """Nothing is open."""
