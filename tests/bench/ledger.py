"""What a record costs: `python -m tests.bench.ledger [tasks] [database URL]` prints JSON.

Ingest in µs of CPU a record, at batches of one call's four messages and of 256; verification in
records a second; memory that verifying took, in MB.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path

from joserfc.jwk import OKPKey

from interlock.bus import Arrival
from interlock.bus.wire import read
from interlock.identity.statements import Signer, Trust
from interlock.ledger import SIGNER, FolderAnchor, verify_export
from interlock.storage import Database, migrate
from interlock.testing import build
from services.audit.handlers import Audit
from services.audit.store import SqlLedger


def messages(task_id: str) -> list[Arrival]:
    """A call that went well."""
    of = build.task(task_id)
    asked = build.raw(build.authenticated(of), "gateway")
    allowed = build.raw(build.authorized(of), "policy", cause=asked.id)
    begun = build.raw(build.started(of), "invocation", cause=allowed.id)
    answered = build.raw(build.succeeded(of), "invocation", cause=allowed.id)
    return [Arrival(raw, read(raw).body) for raw in (asked, allowed, begun, answered)]


async def ingest(audit: Audit, numbers: range, at_once: int) -> float:
    """µs of CPU a record, `at_once` calls in a batch."""
    spent, records = 0.0, 0
    for first in range(numbers.start, numbers.stop, at_once):
        batch = [one for n in range(first, first + at_once) for one in messages(f"task-{n}")]
        records += len(batch)
        began = time.process_time()
        await audit.keep(batch)
        spent += time.process_time() - began
    return spent / records * 1e6


async def rate(records: int, work: Awaitable[object]) -> float:
    """Records a second."""
    began = time.perf_counter()
    await work
    return records / (time.perf_counter() - began)


def peak() -> float:
    """MB that the process held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measured(folder: Path, tasks: int, url: str) -> dict[str, float]:
    database = Database(url, schema="audit", durable=True)
    await migrate(database, "services.audit.migrations")
    ledger = SqlLedger(database)
    await ledger.open("bench", 4)
    signer = Signer.of(SIGNER, OKPKey.generate_key("Ed25519"))
    anchor, trust = FolderAnchor(folder / "anchor"), Trust.of(signer)
    audit = Audit(ledger, anchor, signer, trust, lambda: datetime.now(UTC))  # noqa: TID251 a bench is an edge
    figures = {
        "ingest_us_by_4": await ingest(audit, range(200), 1),
        "ingest_us_by_256": await ingest(audit, range(200, tasks), 64),
    }
    await audit.checkpoint()
    records = sum(head.seq for head in await ledger.heads())
    before, path = peak(), folder / "export.gz"
    figures["verify_database_per_s"] = await rate(records, audit.verify())

    async def export() -> None:
        with path.open("wb") as file:
            async for piece in audit.export(["acme"]):
                file.write(piece)

    async def verify() -> None:
        report = verify_export(path, trust, anchor)
        assert report.ok and report.records == records, report.text()

    figures["export_per_s"] = await rate(records, export())
    figures["verify_export_per_s"] = await rate(records, verify())
    await database.close()
    return figures | {"records": records, "verify_mb": peak() - before}


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as name:
        url = sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{name}/audit.db"
        found = asyncio.run(measured(Path(name), tasks, url))
    print(json.dumps({key: round(value, 1) for key, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
