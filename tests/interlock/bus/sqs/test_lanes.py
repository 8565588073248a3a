"""Calls that many share."""

import asyncio
from collections.abc import Sequence

import pytest

from interlock.bus.sqs.broker.lanes import MOST, TEN, Lanes


class Calls:
    """Notes what each call carried; says no to `bad`."""

    def __init__(self) -> None:
        self.carried: list[list[str]] = []
        self.most_at_once = 0
        self._under_way = 0

    async def carry(self, items: list[str]) -> None:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        await asyncio.sleep(0)
        self._under_way -= 1
        self.carried.append(items)
        if "bad" in items:
            raise ValueError("no")


def short(items: Sequence[str]) -> int:
    """Long words travel alone."""
    return next((at or 1 for at, item in enumerate(items) if len(item) > 5), len(items))


async def test_one_who_asks_as_soon_as_it_was_told_is_served() -> None:
    """The lane that told it has ended, and must not count as running."""
    calls = Calls()
    lanes = Lanes(calls.carry, len)
    async with asyncio.timeout(10):
        for n in range(50):
            await lanes.ask([str(n)])
    assert calls.carried == [[str(n)] for n in range(50)]


async def test_what_many_ask_leaves_together() -> None:
    calls = Calls()
    lanes = Lanes(calls.carry, len)
    async with asyncio.timeout(10):
        await asyncio.gather(*(lanes.ask([str(n)]) for n in range(35)))
    assert max(map(len, calls.carried)) == TEN
    assert sorted(int(n) for some in calls.carried for n in some) == list(range(35))


async def test_calls_at_once_are_bounded_and_each_carries_what_fits() -> None:
    calls = Calls()
    lanes = Lanes(calls.carry, short)
    words = ["a", "looooong", "b", "c"] * 100
    async with asyncio.timeout(10):
        await lanes.ask(words)
    assert calls.most_at_once == MOST
    assert all(some == ["looooong"] or "looooong" not in some for some in calls.carried)
    assert sorted(word for some in calls.carried for word in some) == sorted(words)


async def test_an_error_strikes_those_of_its_call_and_nobody_else() -> None:
    lanes = Lanes(Calls().carry, len)
    async with asyncio.timeout(10):
        with pytest.raises(ValueError, match="no"):
            await lanes.ask(["bad"])
        await lanes.ask(["good"])
        await lanes.ask([])
        lanes.ask(["last"])
        await lanes.drain()
