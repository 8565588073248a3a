"""Policy on twins and on both databases."""

from collections.abc import AsyncIterator

import pytest

from tests.services.policy.world import World
from tests.services.policy.world import world as made

MIGRATIONS = "services.policy.migrations"


@pytest.fixture
def migrations() -> str:
    return MIGRATIONS


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def world(url: str | None) -> AsyncIterator[World]:
    async with made(url) as found:
        yield found


@pytest.fixture
async def twin() -> AsyncIterator[World]:
    """For what does not depend on the database."""
    async with made(None) as found:
        yield found
