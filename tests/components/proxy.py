"""The network between somebody and a server, as a TCP proxy that a test can hold, cut and trap.

It runs on a thread and a loop of its own, so that it outlives a test's and blocks none.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.components.ports import lasting_port

CHUNK = 1 << 16
Where = tuple[str, int] | Path
"""A server's host and port, or its socket's path."""


@dataclass(frozen=True)
class Trap:
    """Closes behind the first bytes from a client for which `on` holds: nothing goes through then,
    in either direction, until the proxy is mended."""

    on: Callable[[bytes], bool]
    through: bool
    """Whether those bytes still reach the server, so that only the answer is lost."""
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on `port` of loopback; connects to `target` for each of its clients."""

    def __init__(self, target: Callable[[], Where], port: int) -> None:
        self.port = port
        self.passed = 0
        """Bytes that went from clients to the server."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._cut = False
        self._trap: Trap | None = None
        self._pairs: set[asyncio.Task[None]] = set()

    # -- what a test does to it -----------------------------------------------------------------

    def hold(self) -> None:
        """Nothing arrives any more and nothing breaks, as behind a dead switch. What was on its
        way arrives late, when the network is mended."""
        self._do(self._flowing.clear)

    def cut(self) -> None:
        """Connections are reset, and new ones too."""
        self._do(self._sever)

    def mend(self) -> None:
        """All is well again."""
        self._do(self._open)

    def set(self, trap: Trap) -> Trap:
        """Lay a trap; the first bytes that spring it hold the network."""
        self._trap = trap
        return trap

    # -- its life -------------------------------------------------------------------------------

    def serve(self, started: threading.Event) -> None:
        """Until `close`; the body of its thread."""
        asyncio.set_event_loop(self._loop)
        self._flowing.set()
        door = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", self.port)
        )
        started.set()
        self._loop.run_forever()
        door.close()
        self._sever()
        self._loop.run_until_complete(asyncio.gather(*self._pairs, return_exceptions=True))
        self._loop.close()

    def close(self) -> None:
        """Every connection ends."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, change: Callable[[], None]) -> None:
        done = threading.Event()

        def changed() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(changed)
        done.wait(10)

    def _sever(self) -> None:
        self._cut = True
        for pair in self._pairs:
            pair.cancel()

    def _open(self) -> None:
        self._cut, self._trap = False, None
        self._flowing.set()

    # -- one connection -------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        pair = asyncio.current_task()
        assert pair is not None
        self._pairs.add(pair)
        server: asyncio.StreamWriter | None = None
        try:
            if not self._cut:
                await self._flowing.wait()
                answers, server = await self._connect()
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(reader, server))
                    both.create_task(self._back(answers, client))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pairs.discard(pair)
            for end in (client, server):
                if end is not None:
                    reset(end)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._target()
        if isinstance(target, Path):
            return await asyncio.open_unix_connection(target)
        return await asyncio.open_connection(*target)

    async def _forward(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            trap = self._trap
            if trap is not None and trap.on(data):
                self._flowing.clear()
                self._trap = None
                if trap.through:
                    await self._write(server, data)
                trap.sprung.set()
                if not trap.through:
                    continue  # those bytes are lost for good
            else:
                await self._write(server, data)
            self.passed += len(data)
        raise ConnectionResetError

    async def _back(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await answers.read(CHUNK):
            await self._flowing.wait()
            await self._write(client, data)
        raise ConnectionResetError

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()


def reset(end: asyncio.StreamWriter) -> None:
    """Close it as a machine does that knows nothing of the connection: what was sent is lost."""
    if not end.transport.is_closing():
        at_once = struct.pack("ii", 1, 0)
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    end.transport.abort()


@contextmanager
def proxied(target: Callable[[], Where], port: int | None = None) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts. `target` is asked for at each connection."""
    proxy, started = Proxy(target, port or lasting_port()), threading.Event()
    thread = threading.Thread(target=proxy.serve, args=(started,), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        with suppress(RuntimeError):
            proxy.close()
        thread.join(10)
