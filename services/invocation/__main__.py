"""`python -m services.invocation`: builds everything that lives as long as the process."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from interlock.bus import Backlog, Group
from interlock.runtime.later import Later
from interlock.runtime.main import run
from interlock.runtime.service import Host, Parts, Service
from interlock.state.interest import RedisInterest
from interlock.state.port import AGENTS, CATALOGUE, REVOCATIONS
from interlock.telemetry.metrics import counted
from services.invocation.clients import (
    PRIVATE,
    AddressGuard,
    Clients,
    FileSecrets,
    LaterLogins,
    LaterUpstream,
    Means,
    StdioCommand,
    Upstream,
)
from services.invocation.handlers import (
    Around,
    Ends,
    Intake,
    Letting,
    Listening,
    Published,
    Settling,
    Watching,
    Worker,
)
from services.invocation.http import Door, LoginDoor, login_routes, routes
from services.invocation.model import Limits
from services.invocation.settings import Command, Settings, read_commands
from services.invocation.store import METADATA, HeardStore, Journal

LOOK_SECONDS = 1.0
FORGET_SECONDS = 3600.0
CALLING = "services.invocation.clients.calling"
"""What needs the SDK of MCP and aiohttp, which take almost half of all imports' time."""


@asynccontextmanager
async def build(host: Host) -> AsyncIterator[Parts]:
    """Invocation's parts. At the end, calls in hand may finish within the suite's drain time."""
    settings = Settings()
    commands = read_commands(settings.commands)
    database = await host.database(METADATA, durable=True)
    journal = Journal(database)
    means = _means(host, settings, commands)
    clients: Later[Clients] = Later(CALLING, lambda calling: calling.open_clients(means))
    upstream, logins = LaterUpstream(clients), LaterLogins(clients)
    around = _around(host, settings, journal, upstream)
    ends = Ends(around)
    worker = Worker(around, ends)
    door = Door(journal, Settling(around, ends), commands, host.tokens)
    letting = Letting(host.state(CATALOGUE).view(CATALOGUE), logins, host.bus, host.stamp, host.now)
    try:
        yield Parts(
            http=[*routes(door), *login_routes(LoginDoor(letting, host.tokens))],
            group=Group("invocation", Intake(around, ends, worker, host.trust).routes()),
            background=[
                *_background(host, ends, worker, Watching(around, ends, worker, monotonic)),
                _listening(host, settings, around, HeardStore(database)).run,
            ],
            backlog=lambda: _backlog(host, journal),
            done=lambda: counted(host.metrics.calls),
        )
    finally:
        try:
            await worker.drain(host.suite.drain_seconds)
        finally:
            await upstream.close()


def _around(host: Host, settings: Settings, journal: Journal, upstream: Upstream) -> Around:
    return Around(
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(6)}",
        journal=journal,
        upstream=upstream,
        published=Published(host.state(CATALOGUE, AGENTS, REVOCATIONS)),
        bus=host.bus,
        stamp=host.stamp,
        traces=host.traces,
        metrics=host.metrics,
        now=host.now,
        limits=_limits(settings),
    )


def _means(host: Host, settings: Settings, commands: Sequence[Command]) -> Means:
    secrets = FileSecrets(settings.logins or host.data / "logins", settings.keys)
    secrets.adopt()
    return Means(
        commands=[StdioCommand(**dict(command)) for command in commands],
        guard=_guard(settings, host),
        per_host=settings.calls,
        secrets=secrets,
        clock=lambda: host.now().timestamp(),
        document=settings.client_metadata_url,
    )


def _guard(settings: Settings, host: Host) -> AddressGuard:
    return AddressGuard(PRIVATE if _private(settings, host) else ())


def _listening(host: Host, settings: Settings, around: Around, heard: HeardStore) -> Listening:
    interest = RedisInterest(host.redis, host.keyring, prefix=host.suite.prefix)
    return Listening(around, heard, interest, monotonic, settings.look_seconds)


def _background(
    host: Host, ends: Ends, worker: Worker, watching: Watching
) -> list[Callable[[], Awaitable[None]]]:
    async def close() -> None:
        await host.stopping.wait()
        worker.close()

    return [
        worker.run,
        worker.beats,
        close,
        _every(LOOK_SECONDS, ends.relay),
        _every(LOOK_SECONDS / 4, watching.leases),
        _every(LOOK_SECONDS, watching.deadlines),
        _every(FORGET_SECONDS, watching.forget),
    ]


async def _backlog(host: Host, journal: Journal) -> Sequence[Backlog]:
    waiting = await journal.waiting()
    age = (host.now() - waiting.oldest).total_seconds() if waiting.oldest else 0.0
    return [Backlog("journal", host.name, waiting.ready, waiting.claimed, max(age, 0.0), 0)]


def _private(settings: Settings, host: Host) -> bool:
    if settings.allow_private_addresses is None:
        return host.suite.embedded
    return settings.allow_private_addresses


def _limits(settings: Settings) -> Limits:
    return Limits(
        total=settings.calls,
        per_server=settings.calls_per_server,
        attempts=settings.attempts,
        first_pause=settings.first_pause,
        longest_pause=settings.longest_pause,
        lease_seconds=settings.lease_seconds,
        result_bytes=settings.result_bytes,
        keep_days=settings.keep_days,
    )


def _every(seconds: float, step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def job() -> None:
        while True:
            await step()
            await asyncio.sleep(seconds)

    return job


service = Service("invocation", build, later=(CALLING,))

if __name__ == "__main__":
    run(service)
