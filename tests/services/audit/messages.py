"""Messages as they arrive at audit, and a clock that tests set."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.bus import Arrival, Raw
from interlock.bus.wire import read
from interlock.testing import build
from tests.interlock.ledger.ledgers import story


@dataclass
class Clock:
    """Stands still at noon, until it is moved."""

    time: datetime = build.NOON

    def now(self) -> datetime:
        return self.time

    def pass_(self, **much: float) -> None:
        self.time += timedelta(**much)


def arrived(raws: Iterable[Raw]) -> list[Arrival]:
    """Believed and readable."""
    return [Arrival(raw, read(raw).body) for raw in raws]


def calls(count: int, first: int = 0) -> list[Arrival]:
    """That many calls, each with its four messages."""
    numbers = range(first, first + count)
    return arrived(raw for number in numbers for raw in story(f"task-{number}"))
