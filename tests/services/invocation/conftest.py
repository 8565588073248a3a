"""Invocation on each kind of database."""

from collections.abc import AsyncIterator

import pytest

from tests.services.invocation.rig import Opener, Rig, rigs

MIGRATIONS = "services.invocation.migrations"


@pytest.fixture
def migrations() -> str:
    return MIGRATIONS


@pytest.fixture
async def opening(database_url: str) -> AsyncIterator[Opener]:
    """Makes processes of invocation that share a bus and a database."""
    async with rigs(database_url) as opener:
        yield opener


@pytest.fixture
async def rig(opening: Opener) -> Rig:
    """One process at work, with an upstream that answers."""
    return opening()
