"""Work in a request's own task: it ends with its client, its keeping, or by itself."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from services.gateway.http.attending import attended

LONG = 3600.0


class Client:
    """One that leaves when it is told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    async def receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def nothing() -> None:
    """Keeps nothing."""


async def for_ever(begun: asyncio.Event) -> str:
    begun.set()
    await asyncio.Event().wait()
    return "never"


async def test_work_gives_its_result_and_nothing_is_left_of_it() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    before = asyncio.all_tasks()
    assert await attended(work(), Client().receive, nothing, LONG) == "done"
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> str:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await attended(work(), Client().receive, nothing, LONG)


async def test_a_client_that_leaves_ends_the_work_and_not_its_task() -> None:
    client, begun, ended = Client(), asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            return await for_ever(begun)
        finally:
            ended.set()

    async def request() -> str:
        assert await attended(work(), client.receive, nothing, LONG) is None
        await asyncio.sleep(0)  # a cancellation that was left would come out here
        return "went on"

    running = asyncio.ensure_future(request())
    await begun.wait()
    client.leaves.set()
    assert await asyncio.wait_for(running, 30) == "went on"
    assert ended.is_set()


async def test_a_client_that_leaves_as_the_work_ends_cancels_nothing_later() -> None:
    client = Client()

    async def work() -> str:
        client.leaves.set()
        return "done"

    assert await attended(work(), client.receive, nothing, LONG) == "done"
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_cancellation_from_outside_is_one(leaves: bool) -> None:
    client, begun = Client(), asyncio.Event()
    running = asyncio.ensure_future(attended(for_ever(begun), client.receive, nothing, LONG))
    await begun.wait()
    if leaves:
        client.leaves.set()
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 30)


async def test_what_keeps_is_asked_again_and_again_and_waited_for() -> None:
    kept: list[str] = []
    enough, go_on = asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        kept.append("begun")
        if len(kept) == 5:
            enough.set()
            await go_on.wait()
        kept.append("ended")

    async def work() -> str:
        await enough.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
        return "done"

    assert await asyncio.wait_for(attended(work(), Client().receive, keep, 0.001), 30) == "done"
    assert kept == ["begun", "ended"] * 3


def failing(error: Exception) -> Callable[[], Awaitable[None]]:
    async def keep() -> None:
        raise error

    return keep


async def test_what_cannot_keep_ends_the_work_with_its_error() -> None:
    begun = asyncio.Event()
    with pytest.raises(TimeoutError, match="takes nothing"):
        await attended(
            for_ever(begun), Client().receive, failing(TimeoutError("takes nothing")), 0.001
        )
    assert begun.is_set()
    await asyncio.sleep(0)
