"""Calls upstreams with the tokens that they want; those that want none never notice."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import TypeVar

from interlock.contracts.catalogue import HttpConnection, Inspection
from interlock.errors import Refused
from services.invocation.clients.oauth.driving import NO_CREDENTIAL
from services.invocation.clients.oauth.keeping import Keeper
from services.invocation.clients.port import (
    Connection,
    Hear,
    Place,
    Reach,
    Upstream,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
    Wanted,
)
from services.invocation.decide import authorizing
from services.invocation.model import Challenge

T = TypeVar("T")
RENEW_SECONDS = 30.0
"""For a token, where the call itself has no end."""


class Authorized:
    """An upstream that refuses a call for want of a token has not executed it (RFC 9110 §15.5.2):
    whatever the call is, it may be made once more with another."""

    def __init__(self, plain: Upstream, keeper: Keeper) -> None:
        self._plain = plain
        self._keeper = keeper

    async def call(self, request: UpstreamCall) -> UpstreamAnswer:
        """As the port says. Time that a token takes is time of the call."""
        clock = asyncio.get_running_loop().time
        end = clock() + request.timeout

        async def attempt(connection: Connection) -> UpstreamAnswer:
            if connection is request.connection:
                return await self._plain.call(request)
            left = max(end - clock(), 0.001)
            return await self._plain.call(replace(request, connection=connection, timeout=left))

        return await self._let_in(request.connection, attempt, end)

    async def inspect(self, connection: Connection, seconds: float = 30.0) -> Inspection:
        """As the port says."""
        end = asyncio.get_running_loop().time() + seconds
        return await self._let_in(connection, lambda one: self._plain.inspect(one, seconds), end)

    async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
        """As the port says."""
        await self._let_in(connection, lambda one: self._plain.listen(one, wanted, hear))

    def only(self, wanted: Collection[Place]) -> None:
        """As the port says."""
        self._plain.only(wanted)

    async def close(self) -> None:
        """As the port says."""
        await self._plain.close()

    async def _let_in(
        self,
        connection: Connection,
        attempt: Callable[[Connection], Awaitable[T]],
        end: float | None = None,
    ) -> T:
        if not isinstance(connection.at, HttpConnection):
            return await attempt(connection)
        used = None
        if not self._keeper.lately_none(connection):
            used = await self._in_time(connection, end, self._keeper.token(connection))
        refused: set[int] = set()
        while True:
            try:
                return await attempt(_bearing(connection, used))
            except UpstreamError as error:
                refusal = error.unlet
                if refusal is None:
                    raise
            if refusal.status in refused:
                raise _rejected(connection, refusal)
            refused.add(refusal.status)
            renewing = self._keeper.renewed(connection, used, refusal)
            used = await self._in_time(connection, end, renewing)

    async def _in_time(self, connection: Connection, end: float | None, work: Awaitable[T]) -> T:
        until = end if end is not None else asyncio.get_running_loop().time() + RENEW_SECONDS
        try:
            async with asyncio.timeout_at(until):
                return await work
        except TimeoutError:
            raise UpstreamError(
                Reach.NOT_SENT, f"server `{connection.server}` could not be authorized in time"
            ) from None


def _bearing(connection: Connection, token: str | None) -> Connection:
    return connection if token is None else replace(connection, authorization=f"Bearer {token}")


def _rejected(connection: Connection, refusal: Challenge) -> Refused:
    hint = authorizing.login_hint(connection.server)
    return Refused(
        f"server `{connection.server}` refuses even a new token (HTTP status `{refusal.status}`): "
        f"{hint}",
        code=NO_CREDENTIAL,
    )
