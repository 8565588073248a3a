"""Nothing starts on a wrong topology: the embedded mode makes it right, elsewhere people do."""

from pathlib import Path
from secrets import token_hex

import pytest
from redis import Redis

from interlock.contracts.topics import SERVICES
from interlock.errors import Refused
from interlock.identity.keys import load_keyring, load_trust
from interlock.runtime import topology
from interlock.runtime.process import open_process
from interlock.runtime.settings import SuiteSettings


@pytest.fixture(params=["redis", "sqs", "kafka"])
def bus_url(request: pytest.FixtureRequest) -> str:
    """An empty broker of each transport; its state plane is `redis_url`."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def settings(tmp_path: Path, bus_url: str, redis_url: str) -> SuiteSettings:
    """As an operator sets up a suite that makes nothing by itself."""
    keys = tmp_path / "keys"
    load_keyring(keys, create=True)
    load_trust(keys, create=SERVICES)
    return SuiteSettings(
        data=tmp_path,
        bus_url=bus_url,
        redis_url=redis_url,
        embedded=False,
        prefix=f"test-{token_hex(4)}:",  # a broker that is not emptied has others' topics
    )


@pytest.mark.promise("topology")
async def test_elsewhere_nothing_starts_before_an_operator_applied_it(
    settings: SuiteSettings,
) -> None:
    with pytest.raises(Refused, match=r"not as the topology wants it: .*interlock bus plan"):
        async with open_process(settings, join=False):
            pass
    made, left = await topology.apply(settings)
    assert made
    assert not left
    assert not await topology.plan(settings)
    async with open_process(settings, join=False) as process:
        assert not await process.bus.plan()


async def test_embedded_it_is_made_at_the_start(settings: SuiteSettings) -> None:
    embedded = settings.model_copy(update={"embedded": True})
    assert await topology.plan(embedded)
    async with open_process(embedded, join=False) as process:
        assert not await process.bus.plan()


async def test_what_was_applied_is_not_made_again(settings: SuiteSettings) -> None:
    await topology.apply(settings)
    assert await topology.apply(settings) == ([], [])


@pytest.mark.parametrize("bus_url", ["redis"], indirect=True)
async def test_what_lies_in_a_streams_place_is_left_to_people_and_the_rest_is_made(
    settings: SuiteSettings, redis_url: str
) -> None:
    stream = f"{settings.prefix}bus:task.events"
    with Redis.from_url(redis_url) as redis:
        redis.set(stream, "somebody's")
    made, left = await topology.apply(settings)
    assert made
    assert [(one.what, one.safe) for one in left] == [(f"stream `{stream}`", False)]
    assert f"DEL {stream}" in left[0].todo
    with Redis.from_url(redis_url) as redis:
        assert redis.get(stream) == b"somebody's"
    embedded = settings.model_copy(update={"embedded": True})
    with pytest.raises(Refused, match=f"stream `{stream}` is a key of another type"):
        async with open_process(embedded, join=False):
            pass
