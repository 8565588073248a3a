"""Modules that take long to import, and that a service can do without until it is up."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from importlib import import_module
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")
IMPORTS = Lock()
"""Threads that import packages of each other's at the same time may wait for each other for good,
of which Python makes an error: one import of these at a time in a process."""
MOMENT = 0.5
"""Seconds that those who waited for readiness have, before imports take turns with requests."""


class Later(Generic[T]):
    """One thing, made by a module that is imported in a thread when somebody first wants it.

    The host imports it soon after the start, if nobody did (`Service.later`).
    """

    def __init__(self, module: str, make: Callable[[Any], Awaitable[T]]) -> None:
        """`make` is given the module."""
        self._module = module
        self._make = make
        self._making: asyncio.Task[T] | None = None

    @property
    def made(self) -> T | None:
        """The thing, if it is there."""
        done = self._making is not None and self._making.done() and not self._failed(self._making)
        return self._making.result() if done and self._making is not None else None

    async def get(self) -> T:
        """The thing. What went wrong while it was made is raised, and it is tried again."""
        if self._making is None or self._failed(self._making):
            # It outlives who came first, whose context (a trace, a request's) is not its own.
            self._making = asyncio.create_task(self._made(), context=Context())
        if self._making.done():
            return self._making.result()
        return await asyncio.shield(self._making)

    async def _made(self) -> T:
        return await self._make(await imported(self._module))

    @staticmethod
    def _failed(making: "asyncio.Task[T]") -> bool:
        return making.done() and (making.cancelled() or making.exception() is not None)


def import_alone(module: str) -> Any:
    """The module; nobody else imports with this meanwhile."""
    with IMPORTS:
        return import_module(module)


async def imported(module: str) -> Any:
    """The module. The loop goes on, and takes turns with the thread that imports."""
    return await asyncio.to_thread(import_alone, module)


async def import_after_start(modules: Sequence[str]) -> None:
    """Import them when the process has been up for a moment; then they stay for good, too."""
    await asyncio.sleep(MOMENT)
    for module in modules:
        await imported(module)
    if modules:
        gc.freeze()
