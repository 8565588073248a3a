"""The proxy: what is held arrives late, what is cut is reset, what is trapped does not arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.components.proxy import Proxy, Trap, proxied

Ends = tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """A proxy before a server that answers with what it was sent, and a connection through it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with proxied(lambda: (host, port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        yield proxy, reader, writer
        writer.transport.abort()
    server.close()


async def heard(reader: asyncio.StreamReader, within: float = 5.0) -> bytes:
    async with asyncio.timeout(within):
        return await reader.read(100)


async def test_what_is_held_arrives_when_it_is_mended(ends: Ends) -> None:
    proxy, reader, writer = ends
    writer.write(b"one")
    assert await heard(reader) == b"one"
    proxy.hold()
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await heard(reader, within=0.1)
    proxy.mend()
    assert await heard(reader) == b"two"


async def test_what_is_cut_is_reset_and_so_are_new_ones_until_it_is_mended(ends: Ends) -> None:
    proxy, reader, writer = ends
    writer.write(b"one")
    assert await heard(reader) == b"one"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await heard(reader)
    with pytest.raises(ConnectionResetError):  # while it connects, or behind that
        again, _ = await asyncio.open_connection("127.0.0.1", proxy.port)
        await heard(again)
    proxy.mend()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"two")
    assert await heard(reader) == b"two"


@pytest.mark.parametrize("through", [True, False])
async def test_behind_what_springs_a_trap_nothing_goes_through(ends: Ends, through: bool) -> None:
    proxy, reader, writer = ends
    trap = proxy.set(Trap(lambda sent: b"ack" in sent, through))
    writer.write(b"effect")
    assert await heard(reader) == b"effect"
    assert not trap.sprung.is_set()
    writer.write(b"ack")
    assert await asyncio.to_thread(trap.sprung.wait, 5)
    with pytest.raises(TimeoutError):
        await heard(reader, within=0.1)
    proxy.mend()
    writer.write(b".")
    assert await heard(reader) == (b"ack" if through else b".")
