"""`python -m services.gateway`: builds everything that lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from os import urandom
from typing import Any

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from interlock.bus import Group
from interlock.contracts.ids import uuid_text
from interlock.runtime.later import Later
from interlock.runtime.main import run
from interlock.runtime.service import Host, Parts, Service
from interlock.state import CATALOGUE, ISSUERS, POLICY, TOOLSETS
from interlock.state.interest import Interest, RedisInterest
from interlock.state.port import StateReader
from services.gateway.decide.reached import Reached, reached
from services.gateway.handlers.calls import Calls, Terms
from services.gateway.handlers.changes import Changes
from services.gateway.handlers.features import Features
from services.gateway.handlers.inputs import Inputs
from services.gateway.handlers.leases import Leases
from services.gateway.handlers.mcp_tasks import OwnTasks
from services.gateway.handlers.projector import Projector
from services.gateway.handlers.refusals import Refusals
from services.gateway.handlers.requests import Requests
from services.gateway.handlers.rounds import Rounds
from services.gateway.handlers.sessions import Sticky
from services.gateway.handlers.shelves import Shelves
from services.gateway.handlers.subscriptions import Subscriptions
from services.gateway.handlers.sweeps import Sweeps
from services.gateway.handlers.tasks import Tasks
from services.gateway.handlers.visible import Visible
from services.gateway.handlers.waiting import Waiters
from services.gateway.http.body import Bodies
from services.gateway.http.features import FeatureReader
from services.gateway.http.lean import Lean
from services.gateway.http.lists import Lists
from services.gateway.http.mcp import McpDoor
from services.gateway.http.metadata import ResourceMetadata, metadata_routes
from services.gateway.http.news import Streams
from services.gateway.http.rest import Door, routes
from services.gateway.http.seal import Seal
from services.gateway.http.sticky import StickyDoor
from services.gateway.settings import Settings
from services.gateway.store import RedisSessions, RedisSnapshots, Sessions, Snapshots

SDK = "services.gateway.http.sdk"
"""What needs the SDK of MCP; plain requests do not, and it takes a third of all imports' time."""


def new_id() -> str:
    return uuid_text(bytearray(urandom(16)), 4)


@asynccontextmanager
async def build(host: Host) -> AsyncIterator[Parts]:
    """The gateway's parts."""
    settings = Settings()
    store = RedisSnapshots(
        host.redis,
        host.prefix,
        new_id(),
        keep=settings.keep_seconds,
        grace=settings.grace_seconds,
        entry=host.bus_entry,
    )
    interest = RedisInterest(host.redis, host.keyring, prefix=host.suite.prefix)
    sessions = RedisSessions(host.redis, host.prefix, settings.session_idle_seconds)
    try:
        async with parts(host, settings, store, interest, sessions) as made:
            yield made
    finally:
        await sessions.aclose()
        await store.close()


@asynccontextmanager
async def parts(
    host: Host, settings: Settings, store: Snapshots, interest: Interest, sessions: Sessions
) -> AsyncIterator[Parts]:
    """The gateway on its stores."""
    reader = host.state(CATALOGUE, POLICY, ISSUERS, TOOLSETS)
    waiters = Waiters(host.stopping)
    sweeps = Sweeps(store, host.bus, host.stamp, host.now)
    refusals = Refusals(host.bus, host.stamp, new_id)
    tasks = _tasks(host, store, sweeps, reader)
    rounds, leases = _rounds(host, tasks), Leases(store)
    calls = _calls(host, settings, (tasks, waiters, refusals, leases), rounds)
    projector, bodies = Projector(store, waiters, host.metrics), _bodies(settings)
    inputs, own = Inputs(tasks, rounds), OwnTasks(tasks, rounds, calls.terms.keep)
    rest = Door(tasks, inputs, waiters, refusals, host.tokens, host.traces, settings, bodies)
    shelves = Shelves(tasks.visible)
    changes = Changes(tasks.visible, shelves, host.tokens.stands, host.stopping)
    subscriptions = Subscriptions(interest, tasks.visible, shelves, changes.said)
    lists = Lists(tasks.visible, shelves, settings.list_page)
    sticky = _sticky(settings, sessions, inputs, subscriptions)
    features, heard = Features(calls), (changes, subscriptions, sticky)
    async with AsyncExitStack() as stack:
        sdk = Later(SDK, lambda it: _serving(stack, it, features, own, lists, heard))
        door = _sticky_door(settings, sticky, changes, refusals)
        shared = calls, refusals, FeatureReader(shelves), bodies
        fast = Lean(calls, features, lists, settings.keep_alive_seconds)
        mcp = _door(host, settings, shared, (_application(sdk), fast), door)
        yield Parts(
            http=[*routes(rest), *_mcp_routes(mcp), *_metadata(host, settings, reader)],
            group=Group("gateway", [*projector.routes(), *subscriptions.routes()]),
            background=[
                lambda: store.run(waiters.tell),
                waiters.run,
                *(sweeps.mark, sweeps.republish, sweeps.watch_deadlines),
                *(leases.run, refusals.run),
                *(changes.run, subscriptions.renew, subscriptions.hear),
            ],
        )


def _application(sdk: Later[ASGIApp]) -> ASGIApp:
    """The SDK's server, which whoever comes early waits for."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await (await sdk.get())(scope, receive, send)

    return serve


async def _serving(stack: AsyncExitStack, sdk: Any, *parts: Any) -> ASGIApp:
    application: ASGIApp = await stack.enter_async_context(
        sdk.protocol(*parts, version("interlock"))
    )
    return application


def _bodies(settings: Settings) -> Bodies:
    return Bodies(settings.body_limit, settings.held_bytes)


def _door(
    host: Host,
    settings: Settings,
    shared: tuple[Calls, Refusals, FeatureReader, Bodies],
    serving: tuple[ASGIApp, Lean],
    sticky: StickyDoor | None,
) -> McpDoor:
    calls, refusals, features, bodies = shared
    return McpDoor(
        calls.tasks,
        host.tokens,
        refusals,
        *serving,
        calls=calls,
        features=features,
        bodies=bodies,
        reached=_reached(host, settings),
        slow_reader=settings.slow_reader_seconds,
        sticky=sticky,
        scopes=settings.challenge_scopes,
    )


def _sticky(
    settings: Settings, sessions: Sessions, inputs: Inputs, subscriptions: Subscriptions
) -> Sticky | None:
    """None without the profile."""
    if not settings.sticky_sessions:
        return None
    most, idle = settings.sessions_per_principal, settings.session_idle_seconds
    return Sticky(sessions, inputs, subscriptions, most, idle)


def _sticky_door(
    settings: Settings, sticky: Sticky | None, changes: Changes, refusals: Refusals
) -> StickyDoor | None:
    if sticky is None:
        return None
    waits = settings.keep_alive_seconds, settings.slow_reader_seconds
    return StickyDoor(sticky, Streams(sticky, changes, *waits), refusals)


def _calls(
    host: Host, settings: Settings, shared: tuple[Tasks, Waiters, Refusals, Leases], rounds: Rounds
) -> Calls:
    return Calls(
        *shared,
        Requests(shared[0]),
        host.traces,
        host.tokens.require_standing,
        rounds,
        Terms(
            settings.inline_seconds,
            settings.task_deadline_seconds,
            timedelta(seconds=settings.keep_seconds),
        ),
        deadline=settings.call_deadline_seconds,
        wait=settings.mcp_wait_seconds,
        run_wait=settings.mcp_run_seconds,
    )


def _rounds(host: Host, tasks: Tasks) -> Rounds:
    return Rounds(
        tasks.store,
        host.bus,
        tasks.sweeps,
        host.stamp,
        host.signer,
        host.now,
        Seal(host.stamp.keyring),
    )


def _reached(host: Host, settings: Settings) -> Reached:
    return reached(
        host.suite.url,
        told=host.suite.public_url is not None,
        hosts=settings.allowed_hosts,
        origins=settings.allowed_origins,
    )


def _tasks(host: Host, store: Snapshots, sweeps: Sweeps, reader: StateReader) -> Tasks:
    return Tasks(
        store=store,
        bus=host.bus,
        sweeps=sweeps,
        visible=Visible(
            reader.view(CATALOGUE), reader.view(POLICY), reader.view(TOOLSETS), host.now
        ),
        stamp=host.stamp,
        signer=host.signer,
        now=host.now,
        new_id=new_id,
        url=host.suite.url,
    )


def _mcp_routes(mcp: McpDoor) -> list[BaseRoute]:
    return [
        Route("/mcp", mcp),
        Route("/servers/{name}/mcp", mcp),
        Route("/toolsets/{toolset}/mcp", mcp),
    ]


def _metadata(host: Host, settings: Settings, reader: StateReader) -> list[Route]:
    issuers = reader.view(ISSUERS)
    return metadata_routes(ResourceMetadata(host.suite.url, issuers, settings.challenge_scopes))


service = Service("gateway", build, later=(SDK,))

if __name__ == "__main__":
    run(service)
