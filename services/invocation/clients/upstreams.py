"""The one that invocation calls: chooses the client by connection and protocol era."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from interlock.contracts.catalogue import HttpConnection, Inspection
from services.invocation.clients import faults
from services.invocation.clients.address import AddressGuard
from services.invocation.clients.dial import open_pool
from services.invocation.clients.inspecting import inspection_of
from services.invocation.clients.lean import VERSION, LeanClient
from services.invocation.clients.listening import HttpListener, listen_in_session
from services.invocation.clients.patience import Patience
from services.invocation.clients.pool import Sessions, needs_own
from services.invocation.clients.port import (
    Connection,
    Hear,
    Place,
    StdioCommand,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
    Wanted,
)
from services.invocation.clients.sessions import OPEN_SECONDS, Session
from services.invocation.clients.text import Span

PER_HOST = 100
"""Connections to one host at once; more calls wait for a place."""


class Upstreams:
    """Calls real upstreams. To be made on the loop that uses it, and closed.

    An HTTP server's era is asked for at first contact and remembered until an answer puts it in
    doubt; then the next call asks again.
    """

    def __init__(
        self,
        commands: Iterable[StdioCommand] = (),
        guard: AddressGuard | None = None,
        per_host: int = PER_HOST,
    ) -> None:
        self._http = open_pool(guard or AddressGuard(), per_host)
        self._lean = LeanClient(self._http)
        self._listener = HttpListener(self._http)
        self._sessions = Sessions(self._http, commands)
        self._modern: dict[object, bool] = {}

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        """As the port says."""
        connection, sent = request.connection, False
        try:
            async with Patience(request.timeout) as patience:
                if request.on_ask is not None:
                    request = replace(request, on_ask=patience.spared(request.on_ask))
                if needs_own(request) and not await self._is_modern(connection, request.timeout):
                    async with self._sessions.lent(connection, request) as own:
                        sent = True
                        return await own.call_alone(request)
                client = await self._client(connection, request.timeout)
                sent = True
                return await client.call(request)
        except TimeoutError:
            raise faults.late(connection, sent, request.timeout) from None
        except UpstreamError as error:
            self._doubt(connection, error)
            raise

    async def inspect(self, connection: Connection, seconds: float = 30.0) -> Inspection:
        """As the port says. Asks for the era anew."""
        self._modern.pop(connection.place, None)
        try:
            async with asyncio.timeout(seconds):
                if isinstance(connection.at, HttpConnection):
                    found = await self._lean.discover(connection, seconds)
                    if found is not None:
                        self._modern[connection.place] = True
                        page = partial(self._page, connection, seconds)
                        return await inspection_of(connection, VERSION, found, page)
                return await (await self._session(connection)).inspect()
        except TimeoutError:
            raise faults.late(connection, True, seconds).unsent() from None

    async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
        """As the port says."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                client = await self._client(connection, OPEN_SECONDS)
        except TimeoutError:
            raise faults.late(connection, False, OPEN_SECONDS) from None
        if isinstance(client, Session):
            await listen_in_session(client, wanted, hear)
            return
        try:
            await self._listener.listen(connection, wanted, hear)
        except UpstreamError as error:
            self._doubt(connection, error)
            raise

    async def _page(
        self, connection: Connection, seconds: float, method: str, cursor: str | None
    ) -> Mapping[str, Span]:
        return await self._lean.page(connection, method, cursor, seconds)

    def only(self, wanted: Collection[Place]) -> None:
        """As the port says."""
        self._sessions.only(wanted)

    async def close(self) -> None:
        """Close all connections; no process is left behind."""
        await self._sessions.close()
        await self._http.close()

    async def _client(self, connection: Connection, seconds: float) -> LeanClient | Session:
        modern = await self._is_modern(connection, seconds)
        return self._lean if modern else await self._session(connection)

    async def _is_modern(self, connection: Connection, seconds: float) -> bool:
        """Whether it is an HTTP server that speaks MCP 2026-07-28."""
        if not isinstance(connection.at, HttpConnection):
            return False
        modern = self._modern.get(connection.place)
        if modern is None:
            modern = await self._lean.discover(connection, seconds) is not None
            if not modern:
                await self._session(connection)
            self._modern[connection.place] = modern
        return modern

    async def _session(self, connection: Connection) -> Session:
        session = self._sessions.session(connection)
        await session.opened()
        return session

    def _doubt(self, connection: Connection, error: UpstreamError) -> None:
        if faults.era_in_doubt(error):
            self._modern.pop(connection.place, None)
