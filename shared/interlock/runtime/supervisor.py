"""`interlock up --separate`: a process per service, started again when it dies, behind one edge."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog

from interlock.contracts.topics import SERVICES
from interlock.embedded import tie
from interlock.errors import Refused
from interlock.identity.keys import load_keyring, load_trust
from interlock.runtime.front import fronted
from interlock.runtime.main import CANNOT_START, bind, until_signal
from interlock.runtime.planes import Planes, open_planes
from interlock.runtime.settings import SuiteSettings

log = structlog.get_logger()
FIRST_DELAY, LONGEST_DELAY, HEALTHY = 0.1, 10.0, 30.0
"""Seconds before a restart, at first and at most; how long a process must live to be healthy."""


@dataclass
class Child:
    """One service's process, whichever is running at the moment."""

    name: str
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    starts: int = 0


@dataclass
class Supervisor:
    """Keeps a process per service alive."""

    settings: SuiteSettings
    planes: Planes
    services: Sequence[str] = SERVICES
    children: dict[str, Child] = field(default_factory=dict)
    hopeless: "asyncio.Future[str]" = field(default_factory=asyncio.Future)
    """Done when a service cannot start: its name. It said itself why."""

    def ports(self) -> dict[str, int]:
        """Where each service listens now."""
        return {name: child.port for name, child in self.children.items() if child.port}

    def places(self) -> dict[str, str]:
        """Their origins."""
        return {name: f"http://127.0.0.1:{port}" for name, port in self.ports().items()}

    async def run(self) -> None:
        """Until cancelled; then every process is told to stop, and waited for."""
        self.children = {name: Child(name) for name in self.services}
        async with asyncio.TaskGroup() as tasks:
            for child in self.children.values():
                tasks.create_task(self._keep(child))

    async def ready(self) -> None:
        """Until every service has said that it is ready."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for name in self.services:
                while not await self._says_ready(session, name):  # noqa: ASYNC110 another process
                    await asyncio.sleep(FIRST_DELAY)

    async def _says_ready(self, session: aiohttp.ClientSession, name: str) -> bool:
        port = self.ports().get(name)
        try:
            async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _keep(self, child: Child) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            process = await self._start(child)
            try:
                code = await process.wait()
            finally:
                await self._end(process)
            if code == CANNOT_START and child.starts == 1:
                if not self.hopeless.done():
                    self.hopeless.set_result(child.name)
                return
            delay = FIRST_DELAY if loop.time() - began > HEALTHY else delay
            log.warning("service.died", service=child.name, code=code, again_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _start(self, child: Child) -> asyncio.subprocess.Process:
        child.port = free_port()
        child.starts += 1
        environment = os.environ | {
            "INTERLOCK_BUS_URL": self.planes.bus_url,
            "INTERLOCK_REDIS_URL": self.planes.redis_url,
            "INTERLOCK_DATA": str(self.settings.data.absolute()),
            "INTERLOCK_HOST": "127.0.0.1",
            "INTERLOCK_PORT": str(child.port),
            "INTERLOCK_PUBLIC_URL": self.settings.url,
            "INTERLOCK_LOG_LEVEL": self.settings.log_level,
            "INTERLOCK_LOG_FORMAT": self.settings.log_format,
        }
        tied = [tie.__file__, str(os.getpid()), sys.executable, "-m", f"services.{child.name}"]
        child.process = await asyncio.create_subprocess_exec(
            sys.executable, *tied, env=environment, start_new_session=True
        )
        log.info("service.spawned", service=child.name, pid=child.process.pid, port=child.port)
        return child.process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(self.settings.drain_seconds + 5):
                await process.wait()
        with suppress(ProcessLookupError):
            process.kill()


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def supervised(settings: SuiteSettings) -> AsyncIterator[Supervisor]:
    """The broker, a process per service, and the edge on the suite's own port."""
    async with AsyncExitStack() as stack:
        door = bind(settings.host, settings.port)
        stack.callback(door.close)
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        load_keyring(settings.keys_folder, create=settings.embedded)
        load_trust(settings.keys_folder, create=SERVICES if settings.embedded else ())
        supervisor = Supervisor(settings, await open_planes(settings, stack))
        await stack.enter_async_context(fronted(supervisor.places, door, settings.drain_seconds))
        work = asyncio.create_task(supervisor.run())
        stack.push_async_callback(_stop, work)  # first: the services end their streams
        yield supervisor


async def _stop(work: "asyncio.Task[None]") -> None:
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def supervise(settings: SuiteSettings, started: Callable[[], None]) -> None:
    """Until SIGTERM or SIGINT. `Refused` where a service cannot start."""
    async with until_signal() as stop, supervised(settings) as supervisor:
        stopped = asyncio.ensure_future(stop.wait())
        ready = asyncio.ensure_future(supervisor.ready())
        ends: set[asyncio.Future[Any]] = {stopped, supervisor.hopeless}
        await asyncio.wait({ready, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if not any(end.done() for end in ends):
            started()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        stopped.cancel()
        log.info("suite.stopping")
    if supervisor.hopeless.done():
        raise Refused(f"service `{supervisor.hopeless.result()}` cannot start: see above why")
