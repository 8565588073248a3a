"""Upstreams that do as a test says."""

import asyncio

from services.invocation.clients import (
    MemoryUpstream,
    Reach,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
)
from tests.services.invocation.rig import RESULT


class Slow:
    """Answers when it is told to; `most` is how many it had in hand at once."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.running = 0
        self.most = 0
        self.upstream = MemoryUpstream(self._answer)
        self._called = asyncio.Condition()

    async def called(self, times: int = 1) -> None:
        """Wait until so many calls have come."""
        async with asyncio.timeout(20.0), self._called:
            await self._called.wait_for(lambda: len(self.upstream.calls) >= times)

    async def _answer(self, call: UpstreamCall) -> UpstreamAnswer:
        self.running += 1
        self.most = max(self.most, self.running)
        async with self._called:
            self._called.notify_all()
        try:
            await self.answer.wait()
        finally:
            self.running -= 1
        return UpstreamAnswer(RESULT, is_error=False)


def failing(reach: Reach, times: int, *, error: str | None = None) -> MemoryUpstream:
    """Fails so often, then answers."""
    left = times

    async def answer(call: UpstreamCall) -> UpstreamAnswer:
        nonlocal left
        if left == 0:
            return UpstreamAnswer(RESULT, is_error=False)
        left -= 1
        failure = UpstreamError(reach, f"failure {times - left}")
        failure.error = error
        raise failure

    return MemoryUpstream(answer)
