"""The buses that must keep the promises."""

from collections.abc import AsyncIterator

import pytest

from interlock.bus import Bus, MemoryBus
from interlock.testing.build import KEYRING
from tests.interlock.bus.harness import clock, open_kafka, open_redis, open_sqs


@pytest.fixture(params=["memory", "redis", "sqs", "kafka"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """Each bus, empty. A new adapter is added here and nowhere else."""
    if request.param == "kafka":
        redis_url = request.getfixturevalue("redis_url")
        async with open_kafka(request.getfixturevalue("kafka_url"), redis_url) as opened:
            yield opened
        return
    if request.param == "memory":
        yield MemoryBus(KEYRING, clock)
        return
    if request.param == "sqs":
        async with open_sqs(request.getfixturevalue("sqs_url")) as opened:
            yield opened
        return
    async with open_redis(request.getfixturevalue("redis_url")) as opened:
        yield opened
