"""One service inside a process: what it is given, and everything of it that runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import MetaData

from interlock.bus import Backlog, Bus, BusEntry, Keyring, Stamp
from interlock.errors import Unavailable
from interlock.identity.keys import load_signer
from interlock.identity.statements import Signer, Trust
from interlock.identity.tokens import Tokens
from interlock.runtime.later import import_after_start
from interlock.runtime.process import Process
from interlock.runtime.relay import Relay
from interlock.runtime.replicas import BEAT, Replica, Replicas, this_process
from interlock.runtime.service import Parts, Service
from interlock.runtime.settings import SuiteSettings
from interlock.state.port import Kind, StateReader
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from interlock.telemetry.metrics import Metrics, counted
from interlock.telemetry.traces import Traces

log = structlog.get_logger()
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0


@dataclass
class ServiceHost:
    """`Host` for one service of a process."""

    name: str
    process: Process
    signer: Signer
    stack: AsyncExitStack
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    background: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def suite(self) -> SuiteSettings:
        return self.process.settings

    @property
    def bus(self) -> Bus:
        return self.process.bus

    @property
    def redis(self) -> Any:
        return self.process.redis

    @property
    def bus_entry(self) -> BusEntry | None:
        return self.process.bus_entry

    @property
    def prefix(self) -> str:
        return f"{self.suite.prefix}{self.name}:"

    @property
    def keyring(self) -> Keyring:
        return self.process.keyring

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.name, self.process.keyring, self.process.now)

    @property
    def trust(self) -> Trust:
        return self.process.trust

    @property
    def tokens(self) -> Tokens:
        return self.process.tokens

    @property
    def traces(self) -> Traces:
        return self.process.traces

    @property
    def metrics(self) -> Metrics:
        return self.process.metrics

    @property
    def now(self) -> Callable[[], datetime]:
        return self.process.now

    @property
    def data(self) -> Path:
        folder = self.suite.data / self.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def state(self, *kinds: Kind[Any]) -> StateReader:
        return self.process.reader

    async def database(self, metadata: MetaData, *, durable: bool = False) -> Database:
        database = Database(self.suite.database_of(self.name), schema=self.name, durable=durable)
        self.stack.push_async_callback(database.close)
        await migrate(database, f"services.{self.name}.migrations")
        return database

    def relay(self, database: Database) -> Relay:
        relay = Relay(database, self.bus, self.process.writer, now=self.now)
        self.background.append(relay.run)
        return relay


@dataclass
class Running:
    """A service that was built; `run` makes it work until cancelled."""

    service: Service
    host: ServiceHost
    parts: Parts
    replica: Replica

    @property
    def replicas(self) -> Replicas:
        """All processes of the service, this one among them."""
        return Replicas(self.host.redis, self.host.prefix)

    async def run(self) -> None:
        """Consume, and keep the background alive."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.show())
            for job in (self._import, *self.host.background, *self.parts.background):
                tasks.create_task(keep(self.service.name, job))
            if self.parts.group is not None:
                group = replace(self.parts.group, ready=lambda: not self.reasons(group=True))
                tasks.create_task(keep(self.service.name, lambda: self.host.bus.run(group)))

    async def _import(self) -> None:
        await import_after_start(self.service.later)

    async def show(self) -> None:
        """Say every second that this process is there and how it is, until cancelled."""
        replicas, away = self.replicas, False
        try:
            while True:
                try:
                    await replicas.say(self._as_it_is())
                except Unavailable as error:
                    if not away:
                        log.warning("replica.unsaid", service=self.service.name, why=error.detail)
                    away = True
                else:
                    away = False
                await asyncio.sleep(BEAT)
        finally:
            with suppress(Unavailable):
                await replicas.leave(self.replica)

    def _as_it_is(self) -> Replica:
        reasons = self.reasons()
        done = self.parts.done or partial(
            counted, self.host.metrics.settled.labels(self.service.name)
        )
        how = {"ready": not reasons, "reasons": tuple(reasons), "handled": done()}
        return self.replica.model_copy(update=how)

    def reasons(self, *, group: bool = False) -> list[str]:
        """Why the service cannot do its work now; empty when it can."""
        reasons = [reason for check in self.parts.ready if (reason := check())]
        if not self.host.process.reader.fresh:
            reasons.append("published state could not be refreshed for 5 s")
        if self.host.stopping.is_set() and not group:
            reasons.append("the service is stopping")
        if group and self.parts.group is not None and not self.parts.group.ready():
            reasons.append("the group is not ready")
        return reasons

    async def backlog(self) -> list[Backlog]:
        """All work that waits for this service."""
        found = list(await self.host.bus.backlog(self.service.name))
        if self.parts.backlog is not None:
            found += await self.parts.backlog()
        return found


async def keep(service: str, job: Callable[[], Awaitable[None]]) -> None:
    """Run a job of `service` until it ends well; one that fails begins again, after a while.

    One that is cancelled without us has failed: a library's cancellation of its own leaked.
    """
    delay = FIRST_DELAY
    while True:
        started = asyncio.get_running_loop().time()
        try:
            return await job()
        except Unavailable as error:
            log.warning("background.unavailable", service=service, why=error.detail)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.exception("background.failed", service=service)
        except Exception:
            log.exception("background.failed", service=service)
        lasted = asyncio.get_running_loop().time() - started
        delay = FIRST_DELAY if lasted > LONGEST_DELAY else min(delay * 2, LONGEST_DELAY)
        await asyncio.sleep(delay)


@asynccontextmanager
async def start(process: Process, service: Service) -> AsyncIterator[Running]:
    """Build a service; what it opened is closed when the block ends."""
    async with AsyncExitStack() as stack:
        signer = load_signer(
            process.settings.keys_folder, service.name, create=process.settings.embedded
        )
        signer = replace(signer, made=process.trust.made)
        host = ServiceHost(service.name, process, signer, stack)
        parts = await stack.enter_async_context(service.build(host))
        yield Running(service, host, parts, this_process(service.name, process.now()))


def named(name: str) -> Service:
    """The service that entry point group `interlock.services` has under `name`."""
    found = _entry_points()
    if name not in found:
        known = ", ".join(f"`{known}`" for known in sorted(found))
        raise Unavailable(f"there is no service `{name}`; there are {known}")
    module, _, attribute = found[name].partition(":")
    service = getattr(import_module(module), attribute)
    assert isinstance(service, Service)
    return service


@cache
def _entry_points() -> dict[str, str]:
    """Of group `interlock.services`: what is installed is read once, which takes 15 ms."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that most starts can save

    return {point.name: point.value for point in entry_points(group="interlock.services")}
