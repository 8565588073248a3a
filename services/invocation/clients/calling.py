"""All that calls upstreams, put together. With it come the SDK of MCP and aiohttp."""

from dataclasses import dataclass

import aiohttp

from services.invocation.clients.authorized import Authorized
from services.invocation.clients.dial import open_pool
from services.invocation.clients.later import Means
from services.invocation.clients.oauth.driving import Driver
from services.invocation.clients.oauth.keeping import Keeper
from services.invocation.clients.oauth.logins import Logins
from services.invocation.clients.upstreams import Upstreams


@dataclass(frozen=True)
class RealClients:
    """`Clients`."""

    plain: Upstreams
    keeper: Keeper
    upstream: Authorized
    logins: Logins
    http: aiohttp.ClientSession
    """To authorization servers."""

    async def close(self) -> None:
        """Nothing of them is left behind."""
        await self.plain.close()
        await self.keeper.close()
        await self.http.close()


async def open_clients(means: Means) -> RealClients:
    """Clients on the loop that runs."""
    plain = Upstreams(commands=means.commands, guard=means.guard, per_host=means.per_host)
    http = open_pool(means.guard)
    driver = Driver(http)
    keeper = Keeper(means.secrets, driver, means.clock)
    logins = Logins(plain, keeper, driver, means.document)
    return RealClients(plain, keeper, Authorized(plain, keeper), logins, http)
