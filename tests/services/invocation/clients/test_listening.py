"""Listening to real servers: of both eras over HTTP, and on stdio."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from starlette.types import ASGIApp

from interlock.contracts.catalogue import StdioConnection
from interlock.contracts.upstream_events import UpstreamList
from services.invocation.clients import (
    LOOPBACK,
    AddressGuard,
    Connection,
    Notice,
    StdioCommand,
    UpstreamCall,
    UpstreamError,
    Upstreams,
    Wanted,
)
from services.invocation.clients.events import EventReader, TooLarge
from services.invocation.clients.text import LARGEST
from tests.interlock.samples.serving import serving
from tests.services.invocation.clients.talking import Heard, http, talking, to, until

TOOLS = frozenset({UpstreamList.TOOLS})
PLAYING = Path(__file__).with_name("playing.py")


def app() -> ASGIApp:
    server = MCPServer("news", version="1")

    async def change(ctx: Context) -> str:
        """Says that the tools and the prompts have changed."""
        await ctx.notify_prompts_changed()
        await ctx.notify_tools_changed()
        return "said"

    async def update(ctx: Context, uri: str) -> str:
        """Says that a resource reads differently now."""
        await ctx.notify_resource_updated(uri)
        return "said"

    server.tool()(change)
    server.tool()(update)
    return server.streamable_http_app()


@asynccontextmanager
async def heard(
    upstreams: Upstreams, connection: Connection, wanted: Wanted
) -> AsyncIterator[list[Notice]]:
    """What is heard, from the first notice on."""
    notices: list[Notice] = []
    listening = asyncio.create_task(upstreams.listen(connection, wanted, notices.append))
    try:
        await until(lambda: bool(notices) or listening.done())
        yield notices
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_modern_server_is_heard_on_a_stream(upstreams: Upstreams) -> None:
    async with serving(app()) as base:
        connection = to(f"{base}/mcp")
        async with heard(upstreams, connection, Wanted(lists=TOOLS)) as notices:
            assert notices == [Notice()]
            await upstreams.call(UpstreamCall(connection, "change", "{}", 10))
            await until(lambda: len(notices) > 1)
            assert notices[1:] == [Notice(TOOLS)]


async def test_an_updated_resource_is_heard_by_who_asked_for_it(upstreams: Upstreams) -> None:
    async with serving(app()) as base:
        connection = to(f"{base}/mcp")
        wanted = Wanted(uris=frozenset({"crm://1"}))
        async with heard(upstreams, connection, wanted) as notices:
            for uri in ("crm://2", "crm://1"):
                update = UpstreamCall(connection, "update", f'{{"uri":"{uri}"}}', 10)
                await upstreams.call(update)
            await until(lambda: len(notices) > 1)
            assert notices[1:] == [Notice(uri="crm://1")]


async def test_the_end_of_a_stream_is_an_error_and_a_server_that_cannot_tell_is_none(
    upstreams: Upstreams,
) -> None:
    acknowledged = (
        b'data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged",'
        b'"params":{"notifications":{}}}\n\n'
    )

    async def stream(asked: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(http(acknowledged, "200 OK", "Content-Type: text/event-stream"))

    async def unknown(asked: Heard, writer: asyncio.StreamWriter) -> None:
        error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"what?"}}'
        writer.write(http(error, "404 Not Found"))

    notices: list[Notice] = []
    async with talking(stream) as url:
        with pytest.raises(UpstreamError, match="ended its stream"):
            await upstreams.listen(to(url), Wanted(lists=TOOLS), notices.append)
    assert notices == [Notice()]
    async with talking(unknown) as url:
        await upstreams.listen(to(url), Wanted(lists=TOOLS), notices.append)
    assert notices == [Notice()]


async def test_a_server_on_stdio_is_heard_in_its_session_and_its_death_is_noticed() -> None:
    command = StdioCommand("playing", sys.executable, (str(PLAYING),))
    connection = Connection("acme", "playing", StdioConnection(command="playing"))
    upstreams = Upstreams([command], AddressGuard(LOOPBACK))
    try:
        notices: list[Notice] = []
        listening = asyncio.create_task(
            upstreams.listen(connection, Wanted(lists=TOOLS), notices.append)
        )
        await until(lambda: bool(notices))
        await upstreams.call(UpstreamCall(connection, "announce", "{}", 10))
        await until(lambda: len(notices) > 1)
        assert notices == [Notice(), Notice(TOOLS)]
        with pytest.raises(UpstreamError):
            await upstreams.call(UpstreamCall(connection, "crash", "{}", 10))
        with pytest.raises(UpstreamError, match="session has ended"):
            async with asyncio.timeout(5):
                await listening
    finally:
        await upstreams.close()


def test_an_endless_stream_counts_only_what_it_is_in_the_midst_of() -> None:
    endless, event = EventReader(endless=True), b"data: " + b"x" * (LARGEST // 2) + b"\n\n"
    assert [len(endless.feed(event)) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(TooLarge):
        endless.feed(b"data: " + b"x" * LARGEST)
