"""A server in the test's own loop, on a free port of loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The base URL of `app` while it is served."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(128)
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
        server = _Server(config)
        server.force_exit = False
        task = asyncio.create_task(server.serve(sockets=[door]))
        async with asyncio.timeout(10):
            await server.listening.wait()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            _, late = await asyncio.wait({task}, timeout=5)
            if late:
                server.force_exit = True
            await task
