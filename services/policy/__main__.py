"""`python -m services.policy`: builds everything that lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interlock.bus import Group
from interlock.runtime.main import run
from interlock.runtime.service import Host, Parts, Service
from interlock.state import CATALOGUE, POLICY
from services.policy.handlers import Approvals, Bench, Rulebook, Tasks, Words
from services.policy.http import PolicyDoor, TaskDoor
from services.policy.settings import Settings
from services.policy.store import METADATA, SqlDecisions, SqlSets
from services.policy.store.folder import read_folder


@asynccontextmanager
async def build(host: Host) -> AsyncIterator[Parts]:
    """Policy's parts. A policy file that is wrong stops the start: file, line and column."""
    settings = Settings()
    texts = {} if settings.folder is None else read_folder(settings.folder)
    database = await host.database(METADATA)
    relay = host.relay(database)
    rulebook = Rulebook(SqlSets(database), host.stamp, host.now)
    await rulebook.refresh()
    if settings.folder is not None:
        await rulebook.take_folder(settings.tenant, texts)
    decisions = SqlDecisions(database)
    reader = host.state(CATALOGUE, POLICY)
    bench = Bench(reader.view(CATALOGUE), rulebook, host.now, reader.view(POLICY))
    words = Words(host.stamp, host.signer)
    tasks = Tasks(decisions, bench, words, host.trust, relay.notify)
    approvals = Approvals(decisions, bench, words, tasks)

    async def sweep() -> None:
        while True:
            await tasks.sweep()
            await asyncio.sleep(settings.sweep_seconds)

    async def follow() -> None:
        while True:
            await asyncio.sleep(settings.refresh_seconds)
            await rulebook.refresh()

    yield Parts(
        http=[
            *TaskDoor(approvals, relay, host.tokens).routes(),
            *PolicyDoor(rulebook, relay, host.tokens).routes(),
        ],
        group=Group("policy", tasks.routes()),
        background=[sweep, follow],
    )


service = Service("policy", build)

if __name__ == "__main__":
    run(service)
