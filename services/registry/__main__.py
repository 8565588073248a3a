"""`python -m services.registry`: builds everything that lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from interlock.bus import Group, Limits
from interlock.contracts.task import TaskKind
from interlock.contracts.upstream_events import UpstreamListChanged
from interlock.runtime.main import run
from interlock.runtime.service import Host, Parts, Service
from services.registry.handlers import Registry, Toolsets
from services.registry.http import Door, ToolsetDoor, routes, toolset_routes
from services.registry.settings import Settings
from services.registry.store import METADATA, SqlServers, SqlToolsets


@asynccontextmanager
async def build(host: Host) -> AsyncIterator[Parts]:
    """The registry's parts."""
    settings = Settings()
    database = await host.database(METADATA)
    relay = host.relay(database)
    servers = SqlServers(database)
    toolsets = Toolsets(SqlToolsets(database), servers, host.stamp)
    registry = Registry(
        servers=servers,
        stamp=host.stamp,
        signer=host.signer,
        now=host.now,
        inspect_within=timedelta(seconds=settings.inspect_seconds),
        committed=relay.notify,
    )

    async def sweep() -> None:
        while True:
            if await registry.retire_due():
                await relay.flush()
            await asyncio.sleep(settings.sweep_seconds)

    yield Parts(
        http=[
            *routes(Door(registry, relay, host.tokens, settings.wait_limit)),
            *toolset_routes(ToolsetDoor(toolsets, relay, host.tokens)),
        ],
        group=Group("registry", registry.routes(), wants=concerns_us, limits=Limits(linger=0.05)),
        background=[sweep],
    )


def concerns_us(attributes: Mapping[str, str]) -> bool:
    """All but a few task events are about calls, which are no concern of the catalogue."""
    looked = attributes.get("ce_taskkind") == TaskKind.INSPECT
    return looked or attributes.get("ce_type") == UpstreamListChanged.type


service = Service("registry", build)

if __name__ == "__main__":
    run(service)
