"""Calling upstreams before all that is needed for it was imported: who does, waits for that."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from interlock.contracts.catalogue import Inspection
from interlock.runtime.later import Later
from services.invocation.clients.address import AddressGuard
from services.invocation.clients.oauth.asked import Asked, Revoked
from services.invocation.clients.oauth.port import LogsIn
from services.invocation.clients.port import (
    Connection,
    Hear,
    Place,
    StdioCommand,
    Upstream,
    UpstreamAnswer,
    UpstreamCall,
    Wanted,
)
from services.invocation.clients.secrets import Secrets

if TYPE_CHECKING:
    from services.invocation.clients.oauth.kept import Access


@dataclass(frozen=True)
class Means:
    """What clients are made of."""

    commands: Sequence[StdioCommand]
    guard: AddressGuard
    per_host: int
    secrets: Secrets
    clock: Callable[[], float]
    """Seconds since 1970."""
    document: str | None
    """URL of our client id metadata document."""


class Clients(Protocol):
    """All that calls upstreams."""

    @property
    def upstream(self) -> Upstream: ...
    @property
    def logins(self) -> LogsIn: ...
    async def close(self) -> None: ...


class LaterUpstream:
    """`Upstream` of clients that may not be there yet."""

    def __init__(self, clients: Later[Clients]) -> None:
        self._clients = clients

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        """As the port says."""
        return await (await self._clients.get()).upstream.call(request)

    async def inspect(self, connection: Connection, seconds: float = 30.0) -> Inspection:
        """As the port says."""
        return await (await self._clients.get()).upstream.inspect(connection, seconds)

    async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
        """As the port says."""
        await (await self._clients.get()).upstream.listen(connection, wanted, hear)

    def only(self, wanted: Collection[Place]) -> None:
        """As the port says; what is not there has nothing open."""
        if (made := self._clients.made) is not None:
            made.upstream.only(wanted)

    async def close(self) -> None:
        """Close all connections; no process is left behind."""
        if (made := self._clients.made) is not None:
            await made.close()


class LaterLogins:
    """`LogsIn` of clients that may not be there yet."""

    def __init__(self, clients: Later[Clients]) -> None:
        self._clients = clients

    async def begin(self, connection: Connection, asked: Asked, now: float) -> str | None:
        return await (await self._clients.get()).logins.begin(connection, asked, now)

    async def answer(self, connection: Connection, redirected_to: str, now: float) -> None:
        await (await self._clients.get()).logins.answer(connection, redirected_to, now)

    async def access(self, connection: Connection) -> "Access | None":
        return await (await self._clients.get()).logins.access(connection)

    async def end(self, connection: Connection) -> Revoked:
        return await (await self._clients.get()).logins.end(connection)
