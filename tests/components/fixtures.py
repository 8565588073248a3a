"""Fixtures of real servers, for `pytest_plugins` in `tests/conftest.py`.

Servers live as long as the run (`servers`: one for all of its workers) and share no event loop with
it; databases are fresh for each test.
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
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it has no types
import pytest
from redis import Redis

from tests.components.elasticmq import CREDENTIALS
from tests.components.keycloak import Keycloak
from tests.components.local import Local, issuing, prepared
from tests.components.migrated import Migrated, migrated
from tests.components.postgres import fresh_database
from tests.components.required import Missing, without
from tests.components.running import forking
from tests.components.scratch import reachable
from tests.components.servers import Asked, Own, Servers
from tests.components.valkey import owner

OWN, ASKED = pytest.StashKey[Own](), "servers"


def pytest_configure(config: pytest.Config) -> None:
    """The run's first process has the servers."""
    if not hasattr(config, "workerinput"):
        config.stash[OWN] = Own()


def pytest_unconfigure(config: pytest.Config) -> None:
    if OWN in config.stash:
        config.stash[OWN].close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Its workers are told where to ask for them."""
    node.workerinput[ASKED] = node.config.stash[OWN].path


@pytest.fixture(scope="session")
def shared_servers(pytestconfig: pytest.Config) -> Servers:
    """What all workers share."""
    if OWN in pytestconfig.stash:
        return pytestconfig.stash[OWN]
    told: Any = pytestconfig
    return Asked(told.workerinput[ASKED])


def shared(servers: Servers, name: str) -> str:
    """Where that server is, which is started where nobody needed it before."""
    try:
        return servers.url(name)
    except Missing as missing:
        without(name, missing)


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
def kafka_url(shared_servers: Servers) -> str:
    """A Kafka broker, `kafka://…`. Shared by all workers: each test uses a prefix of its own."""
    return os.environ.get("INTERLOCK_TEST_KAFKA_URL") or shared(shared_servers, "kafka")


@pytest.fixture(scope="session")
def postgres_server(shared_servers: Servers) -> str:
    """A PostgreSQL server's own database. Shared by all workers: use `postgres_url`."""
    return os.environ.get("INTERLOCK_TEST_POSTGRES_URL") or shared(shared_servers, "postgres")


@pytest.fixture
def migrations() -> str | None:
    """Whose migrations a new database has gone through: a package. Folders of tests say which.

    None of them: it is empty. A test of migrations says so with `EMPTY`.
    """
    return None


EMPTY = pytest.mark.parametrize("migrations", [None], ids=[pytest.HIDDEN_PARAM])


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrated]:
    """What migrated databases are copies of."""
    with migrated(tmp_path_factory.mktemp("models")) as made:
        yield made


@pytest.fixture
async def postgres_url(
    postgres_server: str, migrations: str | None, models: Migrated
) -> AsyncIterator[str]:
    """A new PostgreSQL database, `postgresql+asyncpg://…`; empty unless `migrations` says more."""
    made = models.postgres(migrations, postgres_server) if migrations else None
    async with made or fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def local_set() -> Iterator[Local]:
    """The set of docker-compose.yml on this machine, nothing of it started."""
    with reachable("interlock-local-") as folder:
        yield prepared(folder)


@pytest.fixture(scope="session")
def keycloak_begun(local_set: Local) -> Iterator[Keycloak]:
    """The set's Keycloak, on its way."""
    try:
        with issuing(local_set) as running:
            yield running
    except Missing as missing:
        without("keycloak", missing)


@pytest.fixture(scope="session")
def keycloak_server(keycloak_begun: Keycloak) -> Keycloak:
    """A Keycloak with the realm of the demo. Shared by all tests: leave the realm as it was."""
    try:
        keycloak_begun.ready()
    except Missing as missing:
        without("keycloak", missing)
    return keycloak_begun


@pytest.fixture
async def sqlite_url(tmp_path: Path, migrations: str | None, models: Migrated) -> str:
    """A SQLite file, `sqlite:///…`, that does not exist yet unless `migrations` says more."""
    file = tmp_path / "test.db"
    if migrations:
        await models.sqlite(migrations, file)
    return f"sqlite:///{file}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, migrations: str | None) -> str:
    """Each kind of database that a service may own; `migrations` hold for either."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def sqs_endpoint(shared_servers: Servers) -> str:
    """An SQS server. Shared by all workers: use `sqs_url`."""
    return os.environ.get("INTERLOCK_TEST_SQS_URL") or shared(shared_servers, "sqs")


@pytest.fixture(scope="session")
def aws_endpoint(shared_servers: Servers) -> str:
    """A server of S3 and Secrets Manager. Shared by all workers: use `s3_bucket`."""
    return shared(shared_servers, "s3")


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
