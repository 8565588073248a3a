"""A client that takes nothing holds a response up, and costs no memory."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from interlock.runtime.connections import SILENT_MS, Connection
from interlock.runtime.main import Server, bind

PART = b"x" * 1_000_000
PARTS = 30


class Sending:
    """Sends parts; `sent` counts those whose sending has ended."""

    sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(PARTS):
            await send({"type": "http.response.body", "body": PART, "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(app: Sending) -> AsyncIterator[int]:
    door = bind("127.0.0.1", 0)
    config = uvicorn.Config(app, http=Connection, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[door]))
    try:
        yield door.getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def test_sending_waits_for_a_client_that_does_not_read_and_goes_on_when_it_does() -> None:
    app = Sending()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        stood = -1
        async with asyncio.timeout(20):
            while stood != app.sent:  # until the sockets between them hold no more
                stood = app.sent
                await asyncio.sleep(0.2)
        assert stood < PARTS
        got = 0
        async with asyncio.timeout(20):
            while got < PARTS * len(PART):
                got += len(await reader.read(1 << 20))
        writer.close()
    assert app.sent == PARTS


async def test_the_kernel_ends_what_stays_unacknowledged() -> None:
    door = bind("127.0.0.1", 0)
    with door, socket.create_connection(door.getsockname()) as client:
        door.setblocking(True)
        taken, _ = door.accept()
        with taken, client:
            option = taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert option == SILENT_MS


async def test_a_connection_outlives_what_a_load_balancer_keeps_open_between_requests() -> None:
    assert Server(Sending(), drain_seconds=5).config.timeout_keep_alive > 60
