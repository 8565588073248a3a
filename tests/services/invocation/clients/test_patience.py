"""Time does not count while somebody thinks."""

import asyncio
from typing import Any

import pytest

from services.invocation.clients import Patience


def answering_after(seconds: float) -> Any:
    """Whoever is asked needs so long."""

    async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()
        loop.call_later(seconds, answer.set_result, {"n": 1})
        return await answer

    return ask


async def test_a_long_thought_is_no_time_out() -> None:
    async with Patience(0.1) as patience:
        ask = patience.spared(answering_after(0.3))
        both = await asyncio.gather(ask("roots/list", {}), ask("roots/list", {}))
    assert list(both) == [{"n": 1}, {"n": 1}]


async def test_the_time_goes_on_after_the_answer() -> None:
    with pytest.raises(TimeoutError):
        async with Patience(0.1) as patience:
            await patience.spared(answering_after(0.2))("roots/list", {})
            await asyncio.Event().wait()


async def test_the_time_begins_at_once_where_nobody_is_asked() -> None:
    with pytest.raises(TimeoutError):
        async with Patience(0.01):
            await asyncio.Event().wait()


async def test_nobody_may_think_for_longer_than_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with Patience(10.0) as patience:
            await patience.spared(answering_after(20.0), 0.05)("roots/list", {})
