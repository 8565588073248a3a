"""The edge on a port of its own: before the processes of one machine, or before containers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from interlock.errors import Refused
from interlock.runtime.door import ROOT
from interlock.runtime.edge import Edge
from interlock.runtime.main import Server, bind, until_signal
from interlock.runtime.settings import EdgeSettings, SuiteSettings

log = structlog.get_logger()


@asynccontextmanager
async def fronted(
    places: Callable[[], Mapping[str, Sequence[str]]], door: socket.socket, drain_seconds: float
) -> AsyncIterator[None]:
    """The edge serves at `door` while the block lasts; streams may then end within the drain."""
    edge = Edge(places, ROOT)
    await edge.open()
    server = Server(edge, drain_seconds)
    http = asyncio.create_task(server.serve(sockets=[door]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([http])
        await edge.close()


async def front(settings: SuiteSettings, places: Mapping[str, str]) -> None:
    """Serve the edge alone, until SIGTERM or SIGINT."""
    door = bind(settings.host, settings.port)
    each = {name: [place] for name, place in places.items()}
    try:
        async with until_signal() as stop, fronted(lambda: each, door, settings.drain_seconds):
            log.info("edge.started", url=settings.url, services=sorted(places))
            await stop.wait()
    finally:
        door.close()
    log.info("edge.stopped")


def edge_settings() -> EdgeSettings:
    """What the environment says of the edge; `Refused` where that is nothing to go by."""
    try:
        return EdgeSettings()
    except (ValidationError, SettingsError) as error:
        why = "it is no JSON" if isinstance(error, SettingsError) else _first(error)
        raise Refused(
            f"settings: `INTERLOCK_EDGE_ROUTES`: {why}; give a JSON object of origins by service, "
            '`{"gateway": "http://gateway:8080"}`'
        ) from None


def _first(error: ValidationError) -> str:
    return error.errors(include_url=False, include_input=False)[0]["msg"].lower()
