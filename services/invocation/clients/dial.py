"""The one pool of HTTP connections that every upstream over HTTP is called through."""

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from services.invocation.clients.address import AddressGuard
from services.invocation.clients.events import TooLarge
from services.invocation.clients.text import LARGEST

CONNECT_SECONDS = 5.0
"""For a connection: a place in the pool, name, address, TLS."""
IDLE_SECONDS = 4.0
"""That a connection is kept without a call. Less than servers keep it (uvicorn and Node 5 s): a
call on one that its server closes just then is lost, and `unknown` if it may not be repeated."""


def open_pool(guard: AddressGuard, per_host: int = 100) -> aiohttp.ClientSession:
    """Kept-alive connections, `per_host` at most for each; must run on the loop that uses it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            limit_per_host=per_host,
            keepalive_timeout=IDLE_SECONDS,
            socket_factory=guard.open_socket,
        ),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent",),
        trust_env=False,
    )


class Body(aiohttp.BytesPayload):
    """A request's body, which leaves in one write together with the headers."""

    sent = False
    """A byte may have left. A pool may give out a connection whose end was not noticed yet."""

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        transport = writer.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the connection had ended")
        self.sent = True
        await super().write_with_length(writer, content_length)


async def read(answer: aiohttp.ClientResponse) -> bytes:
    """The body; `TooLarge` before more than `LARGEST` bytes are kept."""
    length = answer.content_length
    if length is not None:
        if length > LARGEST:
            raise TooLarge
        return await answer.read()
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST:
            raise TooLarge
    return bytes(body)
