"""What a service imports, and makes, after its start."""

import asyncio
import subprocess
import sys
from types import ModuleType

import pytest

from interlock.runtime import later
from interlock.runtime.later import Later, import_after_start

SLOW = """
import sys
from interlock.contracts.topics import SERVICES
from interlock.runtime.host import named

for service in SERVICES:
    named(service)
slow = ("mcp", "mcp_types", "aiohttp", "alembic", "typer")
print(*(name for name in slow if name in sys.modules))
"""


async def test_it_is_made_once_for_all_who_want_it_at_once() -> None:
    made: list[ModuleType] = []

    async def make(module: ModuleType) -> object:
        made.append(module)
        return object()

    thing = Later("colorsys", make)
    assert thing.made is None
    first, second = await asyncio.gather(thing.get(), thing.get())
    assert first is second is await thing.get() is thing.made
    assert [one.__name__ for one in made] == ["colorsys"]


async def test_who_gives_up_waiting_takes_it_from_nobody() -> None:
    go = asyncio.Event()

    async def make(module: ModuleType) -> str:
        await go.wait()
        return module.__name__

    thing = Later("colorsys", make)
    impatient, patient = (asyncio.ensure_future(thing.get()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    go.set()
    assert await patient == "colorsys"


async def test_what_could_not_be_made_is_tried_again() -> None:
    tries: list[int] = []

    async def make(module: ModuleType) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not yet")
        return module.__name__

    thing = Later("colorsys", make)
    with pytest.raises(OSError, match="not yet"):
        await thing.get()
    assert thing.made is None
    assert await thing.get() == "colorsys"


async def test_after_the_start_it_is_imported_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "MOMENT", 0.0)
    sys.modules.pop("colorsys", None)
    await import_after_start(["colorsys"])
    assert "colorsys" in sys.modules


def test_a_start_does_not_wait_for_what_comes_later() -> None:
    """The SDK of MCP takes a third of all imports' time; none of it is needed to be ready."""
    found = subprocess.run(
        [sys.executable, "-c", SLOW], check=True, capture_output=True, text=True, timeout=100
    )
    assert found.stdout.split() == []
