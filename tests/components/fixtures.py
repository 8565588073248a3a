"""Fixtures of real servers, for `pytest_plugins` in `tests/conftest.py`.

Servers live as long as the run and share no event loop with it; databases are fresh for each test.
Servers that run already can be named: INTERLOCK_TEST_REDIS_URL (its database is flushed!),
INTERLOCK_TEST_POSTGRES_URL (databases are created beside the one named), INTERLOCK_TEST_SQS_URL
(an endpoint, `http://…`; queues are created) and INTERLOCK_TEST_KAFKA_URL (topics are created there
under prefixes of their own).
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import aioboto3  # type: ignore[import-untyped]  # it has no types
import pytest
from redis import Redis

from tests.components.elasticmq import CREDENTIALS, elasticmq
from tests.components.kafka import PATIENT, kafka
from tests.components.keycloak import Keycloak, keycloak
from tests.components.postgres import fresh_database, postgres
from tests.components.required import Missing, without
from tests.components.running import forking
from tests.components.s3 import moto
from tests.components.scratch import quick_folder
from tests.components.valkey import owner


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    """Programs of ours are forks of one process, which is started for the first of them."""
    with forking():
        yield


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey as `interlock up` runs it. Shared by all tests: use `redis_url`."""
    if given := os.environ.get("INTERLOCK_TEST_REDIS_URL"):
        yield given
        return
    try:
        with owner(tmp_path_factory.mktemp("valkey")) as running:
            yield running.url
    except Missing as missing:
        without("valkey", missing)


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """An empty Redis."""
    with closing(Redis.from_url(valkey_url)) as redis:
        redis.flushdb()
    return valkey_url


@pytest.fixture(scope="session")
def kafka_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka broker, `kafka://…`. Shared by all tests: each uses a prefix of its own."""
    if given := os.environ.get("INTERLOCK_TEST_KAFKA_URL"):
        yield given
        return
    try:
        with (
            quick_folder(tmp_path_factory.mktemp("kafka")) as folder,
            kafka(folder, PATIENT) as broker,
        ):
            yield broker.url
    except Missing as missing:
        without("kafka", missing)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server's own database. Shared by all tests: use `postgres_url`."""
    if given := os.environ.get("INTERLOCK_TEST_POSTGRES_URL"):
        yield given
        return
    try:
        with postgres() as server:
            yield server.url
    except Missing as missing:
        without("postgres", missing)


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """An empty PostgreSQL database, `postgresql+asyncpg://…`."""
    async with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def keycloak_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """A Keycloak with the realm of the demo. Shared by all tests: leave the realm as it was."""
    try:
        with keycloak(tmp_path_factory.mktemp("keycloak")) as running:
            yield running
    except Missing as missing:
        without("keycloak", missing)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet, `sqlite:///…`."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Each kind of database that a service may own."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def sqs_endpoint() -> Iterator[str]:
    """An SQS server. Shared by all tests: use `sqs_url`."""
    if given := os.environ.get("INTERLOCK_TEST_SQS_URL"):
        yield given
        return
    try:
        with elasticmq() as endpoint:
            yield endpoint
    except Missing as missing:
        without("sqs", missing)


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    """A server of S3 and Secrets Manager. Shared by all tests: use `s3_bucket`."""
    try:
        with moto() as endpoint:
            yield endpoint
    except Missing as missing:
        without("s3", missing)


@pytest.fixture
async def s3_bucket(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, at the S3 that the environment names."""
    for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL_S3": aws_endpoint}).items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{secrets.token_hex(4)}"
    async with aioboto3.Session().client("s3") as client:
        await client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "elasticmq"}
        )
    return name


@pytest.fixture
def sqs_url(sqs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bus on SQS without any queues yet; one of whose reads lasts a second at most."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return f"sqs://elasticmq/test-{secrets.token_hex(4)}?endpoint={sqs_endpoint}&wait=1"
