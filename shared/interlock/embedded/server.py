"""The supervisor: one owner, one server, one data folder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from interlock.embedded.binary import find_server
from interlock.embedded.folder import Folder, url_of
from interlock.embedded.process import Launch, ask, end, launch
from interlock.errors import Unavailable

_GLANCE = 0.02
"""Seconds between two looks at something that is about to happen."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the server runs. Times are seconds."""

    maxmemory: str = "512mb"
    """Beyond it writes are refused, never evicted."""
    silence: float = 30.0
    """How long a starting server may say nothing; reading a long file back is not silence."""
    grace: float = 15.0
    """How long a server may take to shut down before it is killed."""
    first_delay: float = 0.1
    """The pause before a dead server is started again; doubled each time, up to `last_delay`."""
    last_delay: float = 5.0


class ValkeyServer:
    """Owns the server of one data folder from `start` until `stop`.

    Every write that it acknowledged is on disk. It dies with the thread that started it (Linux),
    and if it dies alone it comes back at the same address with the same data.
    """

    def __init__(self, data: Path, options: Options | None = None) -> None:
        self._folder = Folder(data)
        self._options = options or Options()
        self._socket: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """`unix://…`, as `redis.asyncio.from_url` takes it; the same from `start` to `stop`."""
        if self._socket is None:
            raise Unavailable(f"the server of `{self._folder.path}` is not running: start it first")
        return url_of(self._socket)

    @property
    def pid(self) -> int | None:
        """The server's process, another one after a restart; None while there is none."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def start(self) -> None:
        """Return once the server answers.

        Refused: no binary, a folder that is in use or not ours, a path too long for a socket.
        Unavailable: the server did not start, with its last words.
        """
        binary = await find_server()
        self._folder.own()
        try:
            plan = await self._plan(binary)
            self._process = await launch(plan)
            self._watch = asyncio.create_task(self._keep_up(plan), name="embedded valkey")
        finally:
            if self._watch is None:
                await self.stop()
        log.info("valkey.started", pid=self.pid, binary=str(binary), url=self.url)

    async def stop(self) -> None:
        """Shut the server down and wait for its end; a second call does nothing."""
        try:
            if self._watch is not None:
                self._watch.cancel()
                await asyncio.wait([self._watch])
        finally:
            self._watch = None
            await self._end()

    async def _end(self) -> None:
        try:
            if self._process is not None:
                await end(self._process, self._options.grace)
                log.info("valkey.stopped", pid=self._process.pid)
            if self._socket is not None:
                self._folder.forget_socket(self._socket)
        finally:
            self._process = self._socket = None
            self._folder.release()

    async def _plan(self, binary: Path) -> Launch:
        """Everything a start needs, the same at every restart."""
        lock = await self._claim()
        self._socket = self._folder.place_socket()
        return Launch(
            binary=binary,
            folder=self._folder,
            socket=self._socket,
            lock=lock,
            maxmemory=self._options.maxmemory,
            silence=self._options.silence,
        )

    async def _claim(self) -> int:
        """The lock for the server, once nothing that a killed owner left behind holds it.

        On Linux that server is dying by itself; elsewhere it is told to shut down.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._options.grace
        while (lock := self._folder.claim()) is None:
            if clock() > deadline:
                raise Unavailable(
                    f"a server whose owner died still runs in `{self._folder.path}` and does not "
                    "shut down: end that `valkey-server` process, then start again"
                )
            if (orphan := self._folder.recorded_socket()) is not None:
                await ask(orphan, "SHUTDOWN")
            await asyncio.sleep(_GLANCE)
        return lock

    async def _keep_up(self, plan: Launch) -> None:
        """Start the server again whenever it ends by itself."""
        clock = asyncio.get_running_loop().time
        delay = self._options.first_delay
        while self._process is not None:
            began = clock()
            code = await self._process.wait()
            if clock() - began > 2 * self._options.last_delay:
                delay = self._options.first_delay
            log.warning("valkey.died", pid=self._process.pid, code=code, restart_in=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._options.last_delay)
            try:
                self._process = await launch(plan)
            except (Unavailable, OSError) as error:
                log.warning("valkey.restart_failed", error=str(error))
            else:
                log.info("valkey.restarted", pid=self._process.pid)


@asynccontextmanager
async def valkey(data: Path, options: Options | None = None) -> AsyncIterator[ValkeyServer]:
    """A running server for as long as the block lasts; errors as `ValkeyServer.start`."""
    server = ValkeyServer(data, options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def attach(data: Path, patience: float = 5.0) -> str:
    """The URL of the server that another process of this instance owns, once it answers.

    Unavailable if none does within `patience` seconds.
    """
    folder = Folder(data)
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    while True:
        socket = folder.recorded_socket()
        if socket is not None and await ask(socket, "PING") == "+PONG":
            return url_of(socket)
        if clock() > deadline:
            raise Unavailable(
                f"no embedded server answers in `{folder.path}`: start one with `interlock up`"
            )
        await asyncio.sleep(_GLANCE)
