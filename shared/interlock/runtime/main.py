"""Start services, serve until told to stop, stop cleanly."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp

from interlock.errors import InterlockError, Refused
from interlock.runtime.connections import Connection, end_when_silent
from interlock.runtime.door import application
from interlock.runtime.host import Running, keep, start
from interlock.runtime.process import open_process
from interlock.runtime.service import Service
from interlock.runtime.settings import SuiteSettings
from interlock.telemetry.logs import configure_logs

log = structlog.get_logger()
CANNOT_START = 2


IDLE_SECONDS = 75
"""For which a connection between requests stays open: longer than clients and load balancers keep
theirs (an ALB 60), since a request that crosses its connection's end is lost."""


class Server(uvicorn.Server):
    """Serves one application. Leaves signals to us: doors close before groups, groups before
    connections. Streams may end within the drain."""

    def __init__(self, serves: ASGIApp, drain_seconds: float) -> None:
        super().__init__(
            uvicorn.Config(
                serves,
                http=Connection,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, int(drain_seconds)),
                timeout_keep_alive=IDLE_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    services: Sequence[Service], settings: SuiteSettings, *, join: bool = False
) -> AsyncIterator[list[Running]]:
    """Run `services` in this process; in the block they take requests and messages.

    `join`: beside a suite that runs on the same data folder, where nothing else is named.
    """
    async with AsyncExitStack() as stack:
        door = bind(settings.host, settings.port)
        stack.callback(door.close)
        process = await stack.enter_async_context(open_process(settings, join=join))
        state = asyncio.create_task(keep("state", process.reader.run))
        stack.push_async_callback(_cancel, [state])
        running = [await stack.enter_async_context(start(process, service)) for service in services]
        work = [asyncio.create_task(one.run()) for one in running]
        stack.push_async_callback(_cancel, work)
        server = Server(application(running, process), settings.drain_seconds)
        http = asyncio.create_task(server.serve(sockets=[door]))
        stack.push_async_callback(_close, server, http, running)
        settle_memory()
        log.info("suite.started", services=[s.name for s in services], url=settings.url)
        yield running


def keep_imports() -> None:
    """What was imported lives as long as the process: the collector never looks at it, not once.

    One look at it takes a tenth of all that the start takes, and finds next to nothing. Whoever
    imports much may have turned the collector off before; from now on it works.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def settle_memory() -> None:
    """What was made to start lives as long as the process: the collector need not look at it again.

    With the usual thresholds a tenth of a loaded process's time went into looking.
    """
    gc.collect()
    keep_imports()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; `Refused` where the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
        door.listen(2048)
        end_when_silent(door)
    except OSError as error:
        door.close()
        raise Refused(
            f"cannot listen on `{host}:{port}`: {(error.strerror or str(error)).lower()}; stop "
            "what runs there, or give another port (`--port`, `INTERLOCK_PORT`)"
        ) from None
    door.setblocking(False)
    return door


async def _close(
    server: uvicorn.Server, http: "asyncio.Task[None]", running: Sequence[Running]
) -> None:
    for one in running:
        one.host.stopping.set()
    server.should_exit = True
    await asyncio.wait([http])


async def _cancel(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_stopped(
    services: Sequence[Service],
    settings: SuiteSettings,
    started: Callable[[], None] = lambda: None,
    *,
    join: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; `join` as `serving` takes it."""
    async with until_signal() as stop, serving(services, settings, join=join):
        started()
        await stop.wait()
        log.info("suite.stopping")
    log.info("suite.stopped")


@asynccontextmanager
async def until_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    yield stop
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


def settings_from_environment(**given: object) -> SuiteSettings:
    """The suite's settings; `Refused` with one line per bad value."""
    try:
        return SuiteSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # names and values are checked by the model
    except ValidationError as error:
        lines = "; ".join(
            f"`INTERLOCK_{'_'.join(map(str, one['loc'])).upper()}`: {one['msg'].lower()}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise Refused(f"settings: {lines}") from None


def run(*services: Service, started: Callable[[], None] = lambda: None, **given: object) -> None:
    """`python -m services.<name>`: serve, and exit with one line where that is not possible.

    `--check` validates the settings and exits.
    """
    try:
        settings = settings_from_environment(**given)
        configure_logs(settings.log_level, settings.log_format)
        if "--check" in sys.argv:
            return
        run_loop(until_stopped(services, settings, started, join=True))
    except InterlockError as error:
        sys.stderr.write(f"interlock: {error.detail}\n")
        raise SystemExit(CANNOT_START) from None


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop where there is one. What was imported until now stays."""
    keep_imports()
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
