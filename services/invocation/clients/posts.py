"""POSTs over connections that are kept: what a call of an upstream that speaks plain HTTP needs."""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cached_property, lru_cache
from socket import AI_ADDRCONFIG, SOCK_STREAM
from typing import NamedTuple

import aiohttp
from aiohappyeyeballs import start_connection
from yarl import URL

from services.invocation.clients.address import AddressGuard
from services.invocation.clients.dial import CONNECT_SECONDS, IDLE_SECONDS
from services.invocation.clients.wire import Wire

CLOSE_SECONDS = 2.0
ANOTHER_SECONDS = 0.25
"""After so long the next address of a name is tried beside the one before (RFC 8305 §5)."""


class Unreachable(aiohttp.ClientConnectionError):
    """No connection came about: nothing was sent."""

    def __init__(self, place: "Place", why: OSError) -> None:
        super().__init__(str(why))
        self.host, self.port, self.os_error = place.host, place.port, why


class Place(NamedTuple):
    """Where a connection goes."""

    tls: bool
    host: str
    port: int


class Target(NamedTuple):
    """What a URL says: where to, and how a request to it begins."""

    place: Place
    head: str


class Outgoing:
    """A request, whole."""

    def __init__(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """`InvalidURL` for what is none; `ValueError` for a header that would be two."""
        target = target_of(url)
        for name, value in headers.items():
            if not value.isprintable() and any(char in value for char in "\r\n\0"):
                raise ValueError(f"the header `{name}` has a line break in it")
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{target.head}{lines}Content-Length: {len(body)}\r\n\r\n"
        self.place, self.text = target.place, head.encode() + body


class Posts:
    """Connections, at most `per_host` to each place. To be used on one loop, and closed."""

    def __init__(self, guard: AddressGuard, per_host: int) -> None:
        self._guard = guard
        self._per_host = per_host
        self._open: Counter[Place] = Counter()
        self._all: dict[Wire, Place] = {}
        self._idle: dict[Place, dict[Wire, float]] = {}
        """Each with when it came to rest; the last one is the first to be used again."""
        self._waiting: dict[Place, deque[asyncio.Future[None]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def wire(self, place: Place, seconds: float) -> AsyncIterator[Wire]:
        """A connection for one exchange; it is kept if that comes to its end.

        Raises `Unreachable`, or `ConnectionTimeoutError` where none was to be had in so many
        seconds.
        """
        wire = self._rested(place) or await self._had(place, seconds)
        try:
            yield wire
        finally:
            self._rest(wire, place)

    async def close(self) -> None:
        """End all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for wire in [*self._all]:
            wire.cut()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(wire.ended.wait() for wire in self._all))

    # -- having one -----------------------------------------------------------------------------

    def _rested(self, place: Place) -> Wire | None:
        idle = self._idle.get(place)
        now = asyncio.get_running_loop().time()
        while idle:
            wire, since = idle.popitem()
            if now - since < IDLE_SECONDS:
                return wire
            wire.cut()
        return None

    async def _had(self, place: Place, seconds: float) -> Wire:
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, seconds)):
                while self._open[place] >= self._per_host:
                    await self._turn(place)
                    if (wire := self._rested(place)) is not None:
                        return wire
                return await self._dialled(place)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None

    async def _turn(self, place: Place) -> None:
        """Wait until there is one more, idle or to be made."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next(place)
            raise

    def _next(self, place: Place) -> None:
        """One who waits may look."""
        turns = self._waiting.get(place)
        while turns:
            turn = turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(place, None)

    async def _dialled(self, place: Place) -> Wire:
        self._open[place] += 1
        try:
            wire = await self._connected(place)
        except BaseException:
            self._less(place)
            raise
        self._all[wire] = place
        return wire

    async def _connected(self, place: Place) -> Wire:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                place.host, place.port, type=SOCK_STREAM, flags=AI_ADDRCONFIG
            )
            sock = await start_connection(
                found,
                happy_eyeballs_delay=ANOTHER_SECONDS,
                interleave=1,
                loop=loop,
                socket_factory=self._guard.open_socket,
            )
            try:
                _, wire = await loop.create_connection(
                    lambda: Wire(self._gone),
                    sock=sock,
                    ssl=self._tls if place.tls else None,
                    server_hostname=place.host if place.tls else None,
                )
            except BaseException:
                sock.close()
                raise
            if wire.ended.is_set():
                raise ConnectionResetError("it was closed at once")
        except OSError as error:
            raise Unreachable(place, error) from None
        return wire

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    # -- giving it back -------------------------------------------------------------------------

    def _rest(self, wire: Wire, place: Place) -> None:
        if not wire.rest():
            return
        loop = asyncio.get_running_loop()
        self._idle.setdefault(place, {})[wire] = loop.time()
        if self._sweeping is None:
            self._sweeping = loop.call_later(IDLE_SECONDS, self._sweep)
        if place in self._waiting:
            self._next(place)

    def _sweep(self) -> None:
        """End what nobody used for long."""
        loop = asyncio.get_running_loop()
        old = loop.time() - IDLE_SECONDS
        for place, idle in [*self._idle.items()]:
            for wire in [wire for wire, since in idle.items() if since <= old]:
                del idle[wire]
                wire.cut()
            if not idle:
                del self._idle[place]
        again = loop.call_later(IDLE_SECONDS, self._sweep) if self._idle else None
        self._sweeping = again

    def _gone(self, wire: Wire) -> None:
        """A connection has ended."""
        place = self._all.pop(wire, None)
        if place is not None:
            self._idle.get(place, {}).pop(wire, None)
            self._less(place)

    def _less(self, place: Place) -> None:
        self._open[place] -= 1
        if self._open[place] <= 0:
            del self._open[place]
        self._next(place)


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """`InvalidURL` for what is no URL of HTTP."""
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError:
        raise aiohttp.InvalidURL(url) from None
    if parsed.scheme not in {"http", "https"} or not host or port is None:
        raise aiohttp.InvalidURL(url)
    head = f"POST {parsed.raw_path_qs} HTTP/1.1\r\nHost: {parsed.host_port_subcomponent}\r\n"
    if parsed.user is not None or parsed.password is not None:
        known = aiohttp.encode_basic_auth(parsed.user or "", parsed.password or "")
        head += f"Authorization: {known}\r\n"
    return Target(Place(parsed.scheme == "https", host, port), head)
