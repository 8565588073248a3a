"""Where a process finds the suite that it belongs to."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import Refused
from interlock.runtime.planes import open_planes
from interlock.runtime.settings import SuiteSettings

KAFKA = "kafka://127.0.0.1:9092"


def settings(data: Path, **given: Any) -> SuiteSettings:
    return SuiteSettings(data=data, **given)


async def test_who_joins_works_where_the_suite_does(tmp_path: Path) -> None:
    here = settings(tmp_path, bus_url=KAFKA, prefix="own:")
    elsewhere = settings(tmp_path, bus_url="kafka://user:secret@[::1]:9093", prefix="own:")
    async with AsyncExitStack() as stack:
        planes = await open_planes(here, stack)
        joined = await open_planes(elsewhere, stack, join=True)
    assert joined.redis_url == planes.redis_url
    assert "secret" not in (tmp_path / "suite.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "would work on the embedded bus with prefix `interlock:`"),
        ({"bus_url": KAFKA}, "would work on `kafka:` with prefix `interlock:`"),
        ({"bus_url": "sqs://aws/dev", "prefix": "own:"}, "`sqs:` /dev with prefix `own:`"),
    ],
)
async def test_who_would_work_elsewhere_is_refused(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    async with AsyncExitStack() as stack:
        await open_planes(settings(tmp_path, bus_url=KAFKA, prefix="own:"), stack)
        with pytest.raises(Refused) as refused:
            await open_planes(settings(tmp_path, **given), stack, join=True)
    assert "works on `kafka:` with prefix `own:`" in str(refused.value)
    assert told in str(refused.value)
    assert "set `INTERLOCK_BUS_URL` and `INTERLOCK_PREFIX`" in str(refused.value)


async def test_a_suite_that_moved_says_so_when_it_starts(tmp_path: Path) -> None:
    for prefix in ("before:", "after:"):
        async with AsyncExitStack() as stack:
            await open_planes(settings(tmp_path, prefix=prefix), stack)
            await open_planes(settings(tmp_path, prefix=prefix), stack, join=True)
