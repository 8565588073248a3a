"""A time limit that does not count while somebody else is waited for."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from services.invocation.clients.port import OnAsk


class Patience:
    """As `asyncio.timeout(seconds)`, which it is while nobody is asked for anything."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._asking = 0
        self._left = 0.0

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    def spared(self, on_ask: OnAsk, longest: float | None = None) -> OnAsk:
        """The same, its answer waited for without counting; `longest` seconds from now at most."""
        clock = asyncio.get_running_loop().time
        until = None if longest is None else clock() + longest

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            with self._spared(until):
                return await on_ask(method, params)

        return ask

    @contextmanager
    def _spared(self, until: float | None) -> Iterator[None]:
        clock = asyncio.get_running_loop().time
        if not self._asking:
            self._left = (self._timeout.when() or clock()) - clock()
            self._timeout.reschedule(until)
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking and not self._timeout.expired():
                end = clock() + max(self._left, 0.0)
                self._timeout.reschedule(end if until is None else min(end, until))
