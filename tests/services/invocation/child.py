"""A process of invocation, to be killed: `python -m tests.services.invocation.child DATABASE CRM`.

It takes `many` calls in, half of which may not be repeated, and works on them.
"""

import asyncio
import sys

from interlock.contracts.catalogue import HttpConnection
from interlock.contracts.requests import CallAuthorized
from interlock.state import CATALOGUE
from services.invocation.clients import LOOPBACK, AddressGuard, Upstreams
from services.invocation.model import Limits
from tests.services.invocation.rig import Opener, Rig, authorized, rigs, server, task

LIMITS = Limits(first_pause=0.02, longest_pause=0.05, lease_seconds=1.0, per_server=8)
SEARCH, GRANT = '{"query":"north"}', '{"opportunity_id":"opp-1","percent":1}'


def asked(many: int) -> list[CallAuthorized]:
    """Searches, and grants of discounts that must not be granted twice."""
    searches = [authorized(task(f"search-{n}", arguments=SEARCH), SEARCH) for n in range(many // 2)]
    grants = [
        authorized(task(f"grant-{n}", used="grant_discount", arguments=GRANT), GRANT)
        for n in range(many // 2)
    ]
    return [one for pair in zip(searches, grants, strict=True) for one in pair]


def working(opening: Opener, crm: str) -> Rig:
    """A process that calls the real CRM."""
    rig = opening(Upstreams(guard=AddressGuard(LOOPBACK)), start=False, limits=LIMITS)
    rig.state.publish(CATALOGUE, "acme", "crm", server(connection=HttpConnection(url=f"{crm}/mcp")))
    rig.start()
    return rig


async def main(database: str, crm: str, many: int) -> None:
    async with rigs(database) as opening:
        rig = working(opening, crm)
        await rig.send(*asked(many))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
