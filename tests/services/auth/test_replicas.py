"""Several processes of auth that start on one empty database at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interlock.contracts.task import digest_of
from interlock.state import API_KEYS, ISSUERS
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from services.auth.store import Records
from tests.services.auth.conftest import MIGRATIONS
from tests.services.auth.rig import Rig


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[Rig]]:
    databases = [Database(database_url, schema="auth") for _ in range(3)]
    await migrate(databases[0], MIGRATIONS)
    rigs = [Rig(database, first=1000 * n + 1) for n, database in enumerate(databases)]
    yield rigs
    for database in databases:
        await database.close()


async def test_they_make_one_signing_key_and_publish_it(replicas: list[Rig]) -> None:
    await asyncio.gather(*(rig.issuing.ensure() for rig in replicas))

    def kept(records: Records) -> tuple[list[str], list[str]]:
        (issuer,) = records.of(ISSUERS, "*").values()
        published = [key["kid"] for key in json.loads(issuer.jwks)["keys"]]
        return [key.kid for key in records.signing_keys()], published

    kids, published = await replicas[0].store.read(kept)
    assert len(kids) == 1
    assert published == kids


async def test_the_operator_s_key_in_the_file_is_the_one_that_counts(
    replicas: list[Rig], tmp_path: Path
) -> None:
    file = tmp_path / "operator.key"
    made = await asyncio.gather(*(rig.access.bootstrap(file) for rig in replicas))
    assert sorted(made) == [False, False, True]
    (record,) = (
        await replicas[0].store.read(lambda records: records.of(API_KEYS, "default"))
    ).values()
    secret = file.read_text().strip().rpartition("_")[2]
    assert record.secret_digest == digest_of(secret)
