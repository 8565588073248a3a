"""What runs in a service's background goes on."""

import asyncio

import pytest

from interlock.runtime.host import keep


async def test_a_job_that_a_library_cancelled_begins_again() -> None:
    begun: list[int] = []

    async def job() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise asyncio.CancelledError

    await asyncio.wait_for(keep("policy", job), 30)
    assert len(begun) == 2


async def test_a_job_ends_when_it_is_told_to() -> None:
    begun = asyncio.Event()

    async def job() -> None:
        begun.set()
        await asyncio.Event().wait()

    kept = asyncio.create_task(keep("policy", job))
    await begun.wait()
    kept.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(kept, 30)
