"""One suite for all attacks of a run: an attack that changes it for the next has succeeded."""

from collections.abc import Iterator

import pytest

from tests.components.world import World, world


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running suite with the CRM and its agent."""
    with world(tmp_path_factory.mktemp("attacked")) as running:
        yield running
