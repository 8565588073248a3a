"""What the tests of the clients share."""

from collections.abc import AsyncIterator

import pytest

from services.invocation.clients import LOOPBACK, AddressGuard, Upstreams


@pytest.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    """Real clients that may dial loopback."""
    upstreams = Upstreams(guard=AddressGuard(LOOPBACK))
    yield upstreams
    await upstreams.close()
