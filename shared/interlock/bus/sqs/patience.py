"""Before it runs a process asks much of SQS, beside others that do: few at once, and again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from aiohttp import ClientConnectorError
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

T = TypeVar("T")
AT_ONCE = 8
"""Questions under way. Six processes that start together must not overrun a small server."""
LONGEST = 20.0
"""Seconds after which a question is not asked again."""
BROKE_OFF = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
SLOW = (ConnectTimeoutError, ReadTimeoutError, ConnectionClosedError)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What is left unanswered is asked again for a while; where nobody listens that is told at
    once. Only for what may be repeated."""
    clock = asyncio.get_running_loop().time
    end, pause = clock() + LONGEST, 0.2
    while True:
        try:
            return await ask()
        except (*SLOW, EndpointConnectionError) as error:
            if _nobody_listens(error) or clock() + pause > end:
                raise
        await asyncio.sleep(pause)
        pause = min(2.0, pause * 2.0)


def _nobody_listens(error: Exception) -> bool:
    """Not merely a connection that broke off, perhaps while it was made."""
    inner = getattr(error, "kwargs", {}).get("error")
    return isinstance(inner, ClientConnectorError) and not isinstance(inner.os_error, BROKE_OFF)


async def few_at_once(asks: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """All answers in order; or the first error, and then nothing is under way any more."""
    room = asyncio.Semaphore(AT_ONCE)

    async def in_turn(ask: Callable[[], Awaitable[T]]) -> T:
        await room.acquire()
        answer = await ask()
        room.release()  # one that fails keeps its room: no other begins after it
        return answer

    under_way = [asyncio.ensure_future(in_turn(ask)) for ask in asks]
    try:
        return await asyncio.gather(*under_way)
    finally:
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
