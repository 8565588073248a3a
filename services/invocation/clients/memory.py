"""The twin in memory: answers as it is told, and remembers what it was asked."""

from collections.abc import Awaitable, Callable, Mapping

from interlock.contracts.catalogue import Inspection
from services.invocation.clients.port import (
    Connection,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
)


class MemoryUpstream:
    """`answer` plays the tools; `servers` are what can be inspected, by server name."""

    def __init__(
        self,
        answer: Callable[[UpstreamCall], Awaitable[UpstreamAnswer]],
        servers: Mapping[str, Inspection] | None = None,
    ) -> None:
        self._answer = answer
        self._servers = servers or {}
        self.calls: list[UpstreamCall] = []

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        self.calls.append(request)
        return await self._answer(request)

    async def inspect(self, connection: Connection, seconds: float = 30.0) -> Inspection:
        if connection.server not in self._servers:
            raise UpstreamError(Reach.NOT_SENT, f"nobody answers for `{connection.server}`")
        return self._servers[connection.server]

    async def close(self) -> None:
        """Nothing is open."""
