"""Redis emptied under a running suite: what lives there only is gone, and said to be."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from interlock.contracts.task import TaskState
from interlock.errors import Refused
from interlock.sdk import Interlock
from interlock.state import CATALOGUE
from tests.chaos.scale import FULL, MARKS
from tests.components.crm import REPEATABLE, SERVER, arguments
from tests.components.suite import until
from tests.components.world import TENANT, world

pytestmark = MARKS


async def test_after_flushall_new_tasks_run_and_earlier_ones_are_not_found(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        async with Interlock(here.suite.url, here.key) as client:
            before = await client.submit(SERVER, REPEATABLE, arguments(REPEATABLE, 1))
            assert (await before.outcome(20)).state is TaskState.SUCCEEDED
            with Redis.from_url(here.suite.redis_url) as redis:
                redis.flushall()
                after = await client.call(SERVER, REPEATABLE, arguments(REPEATABLE, 2))
                assert after.state is TaskState.SUCCEEDED
                with pytest.raises(Refused, match="there is no task"):
                    await before.show()
                if FULL:  # owners publish all of it anew every minute
                    published = f"interlock:state:{TENANT}:{CATALOGUE.name}"
                    back = partial(redis.exists, published)
                    await asyncio.to_thread(until, back, "the catalogue is back", within=80)
