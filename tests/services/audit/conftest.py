"""Audit on each kind of database, with its anchor in a folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interlock.identity.statements import Trust
from interlock.ledger import FolderAnchor
from interlock.storage import Database, migrate
from services.audit.handlers import Audit
from services.audit.store import SqlLedger
from tests.interlock.ledger.ledgers import key
from tests.services.audit.messages import Clock

MIGRATIONS = "services.audit.migrations"
SHARDS = 3


@pytest.fixture
def migrations() -> str:
    return MIGRATIONS


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, schema="audit")
    await migrate(database, MIGRATIONS)
    yield database
    await database.close()


@pytest.fixture
async def ledger(database: Database) -> SqlLedger:
    ledger = SqlLedger(database)
    await ledger.open("ledger-1", SHARDS)
    return ledger


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(ledger: SqlLedger, clock: Clock, tmp_path: Path) -> Audit:
    signer = key()
    return Audit(ledger, FolderAnchor(tmp_path / "anchor"), signer, Trust.of(signer), clock.now)
