"""Gateways behind real sockets."""

from collections.abc import AsyncIterator

import pytest

from tests.services.gateway.build import Gateway, World, world


@pytest.fixture
async def suite() -> AsyncIterator[World]:
    async with world() as made:
        yield made


@pytest.fixture
async def gateway(suite: World) -> AsyncIterator[Gateway]:
    async with suite.gateway() as running:
        yield running
