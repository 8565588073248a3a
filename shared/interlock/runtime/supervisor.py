"""`interlock up --separate`: processes of each service, started again when they die, one edge."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog

from interlock.contracts.topics import SERVICES
from interlock.errors import Refused, Unavailable
from interlock.identity.keys import load_keyring, load_trust
from interlock.runtime.children import Forks, Interpreters, Process, Processes
from interlock.runtime.front import fronted
from interlock.runtime.main import CANNOT_START, bind, until_signal
from interlock.runtime.planes import Planes, open_planes
from interlock.runtime.settings import SuiteSettings
from interlock.runtime.warm import Warm

log = structlog.get_logger()
FIRST_DELAY, LONGEST_DELAY, HEALTHY = 0.1, 10.0, 30.0
"""Seconds before a restart, at first and at most; how long a process must live to be healthy."""
LOOK, LOOK_WHILE_AWAY = 1.0, 0.2
"""Seconds between two looks at whether a process is ready, while it is and while it is not."""
MOST = 64
"""Processes of one service."""


@dataclass
class Child:
    """One of a service's processes, whichever is running at the moment."""

    name: str
    port: int = 0
    starts: int = 0
    ready: bool = False
    """It said so last time it was asked."""


@dataclass
class Supervisor:
    """Keeps the processes of each service alive, and knows which of them take requests."""

    settings: SuiteSettings
    planes: Planes
    scale: Mapping[str, int] = field(default_factory=dict)
    """How many processes a service has, where it is not one."""
    processes: Processes = field(default_factory=Interpreters)
    children: Sequence[Child] = ()
    hopeless: "asyncio.Future[str]" = field(default_factory=asyncio.Future)
    """Done when a service cannot start: its name. It said itself why."""

    def __post_init__(self) -> None:
        self.children = [Child(name) for name in SERVICES for _ in range(self.scale.get(name, 1))]

    def places(self) -> dict[str, list[str]]:
        """Where each service takes requests now.

        Where none of its processes is ready, one that is not says best itself what is wrong.
        """
        found: dict[str, list[str]] = {}
        for name in SERVICES:
            there = [one for one in self.children if one.name == name and one.port]
            chosen = [one for one in there if one.ready] or there
            found[name] = [f"http://127.0.0.1:{one.port}" for one in chosen]
        return found

    async def run(self) -> None:
        """Until cancelled; then every process is told to stop, and waited for."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for child in self.children:
                tasks.create_task(self._keep(child))
                tasks.create_task(_look(session, child))

    async def ready(self) -> None:
        """Until every process has said that it is ready."""
        while not all(child.ready for child in self.children):  # noqa: ASYNC110 other processes
            await asyncio.sleep(LOOK_WHILE_AWAY)

    async def _keep(self, child: Child) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            code = await self._live(child)
            if code == CANNOT_START and child.starts == 1:
                if not self.hopeless.done():
                    self.hopeless.set_result(child.name)
                return
            delay = FIRST_DELAY if loop.time() - began > HEALTHY else delay
            log.warning("service.died", service=child.name, code=code, again_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _live(self, child: Child) -> int | None:
        """One life of it: the code with which it ended; None where it did not even begin."""
        try:
            process = await self._start(child)
        except Unavailable as error:
            log.warning("service.unborn", service=child.name, why=error.detail)
            return None
        try:
            return await process.wait()
        finally:
            child.ready, child.port = False, 0
            await self._end(process)

    async def _start(self, child: Child) -> Process:
        child.port = self._free_port()
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
        process = await self.processes.start(child.name, environment)
        log.info("service.spawned", service=child.name, pid=process.pid, port=child.port)
        return process

    def _free_port(self) -> int:
        """One that no other child is about to listen on either."""
        taken = {child.port for child in self.children}
        return next(port for port in iter(free_port, None) if port not in taken)

    async def _end(self, process: Process) -> None:
        with suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(self.settings.drain_seconds + 5):
                await process.wait()
        with suppress(ProcessLookupError):
            process.kill()


async def _look(session: aiohttp.ClientSession, child: Child) -> None:
    """Keep up with whether a process is ready, until cancelled."""
    while True:
        port = child.port
        ready = port != 0 and await _says_ready(session, port)
        child.ready = ready and child.port == port
        await asyncio.sleep(LOOK if child.ready else LOOK_WHILE_AWAY)


async def _says_ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
            return answer.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False


def scaled(given: Sequence[str]) -> dict[str, int]:
    """`policy=3` as numbers of processes; `Refused` names what is wrong with one."""
    scale: dict[str, int] = {}
    for one in given:
        name, _, number = one.partition("=")
        if name not in SERVICES:
            known = ", ".join(f"`{known}`" for known in SERVICES)
            raise Refused(f"there is no service `{name}` to scale; there are {known}")
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= MOST):
            raise Refused(f"`{one}` is no scale; write `{name}=N`, N from 1 to {MOST}")
        scale[name] = int(number)
    return scale


def free_port() -> int:
    """A port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def supervised(
    settings: SuiteSettings, scale: Mapping[str, int], processes: Processes
) -> AsyncIterator[Supervisor]:
    """The broker, the processes of each service, and the edge on the suite's own port."""
    async with AsyncExitStack() as stack:
        door = bind(settings.host, settings.port)
        stack.callback(door.close)
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        load_keyring(settings.keys_folder, create=settings.embedded)
        load_trust(settings.keys_folder, create=SERVICES if settings.embedded else ())
        stack.push_async_callback(processes.close)
        supervisor = Supervisor(settings, await open_planes(settings, stack), scale, processes)
        await stack.enter_async_context(fronted(supervisor.places, door, settings.drain_seconds))
        work = asyncio.create_task(supervisor.run())
        stack.push_async_callback(_stop, work)  # first: the services end their streams
        yield supervisor


async def _stop(work: "asyncio.Task[None]") -> None:
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def supervise(
    settings: SuiteSettings,
    started: Callable[[], None],
    scale: Mapping[str, int],
    warm: Warm | None = None,
) -> None:
    """Until SIGTERM or SIGINT. `Refused` where a service cannot start.

    Without a `warm` process to fork them, each service's process imports for itself.
    """
    processes = Interpreters() if warm is None else Forks(warm)
    async with until_signal() as stop, supervised(settings, scale, processes) as supervisor:
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
