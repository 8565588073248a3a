"""`python -m services.audit`: builds everything that lives as long as the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import structlog

from interlock.bus import Group, Limits
from interlock.errors import InterlockError
from interlock.identity.keys import load_signer, load_trust
from interlock.identity.statements import Trust
from interlock.ledger import SIGNER, FolderAnchor
from interlock.runtime.main import run
from interlock.runtime.service import Host, Parts, Service
from services.audit.handlers import Audit
from services.audit.http import Door, routes
from services.audit.settings import Settings
from services.audit.store import FEW, METADATA, SqlLedger

log = structlog.get_logger()


@asynccontextmanager
async def build(host: Host) -> AsyncIterator[Parts]:
    """Audit's parts."""
    settings = Settings()
    ledger = SqlLedger(await host.database(METADATA, durable=True))
    await ledger.open(str(uuid4()), settings.shards)
    keys = settings.keys or host.suite.keys_folder
    signer = load_signer(keys, SIGNER, create=host.suite.embedded)
    audit = Audit(
        ledger=ledger,
        anchor=FolderAnchor(settings.checkpoint_folder or host.suite.data / "anchor"),
        signer=signer,
        trust=Trust({**load_trust(keys).keys, **Trust.of(signer).keys}),
        now=host.now,
    )

    async def checkpoints() -> None:
        while True:
            await audit.checkpoint()
            await asyncio.sleep(settings.checkpoint_seconds)

    yield Parts(
        http=routes(Door(audit, host.tokens)),
        group=Group("audit", keep=audit.keep, limits=Limits(batch=FEW, linger=0.2)),
        background=[checkpoints],
    )
    try:
        await audit.checkpoint()
    except InterlockError as error:
        log.warning("checkpoint.missed", why=error.detail)


service = Service("audit", build)

if __name__ == "__main__":
    run(service)
