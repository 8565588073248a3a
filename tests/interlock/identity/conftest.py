"""Published state in memory, and doors' eyes on it."""

from datetime import datetime

import pytest

from interlock.identity.tokens import Tokens
from interlock.state import AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS
from interlock.state.memory import MemoryState, MemoryStateReader
from tests.interlock.identity.build import NOON, OURS

KINDS = (AGENTS, API_KEYS, ISSUERS, REVOCATIONS, USERS)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
async def reader(state: MemoryState) -> MemoryStateReader:
    reader = MemoryStateReader(state, KINDS)
    await reader.load()
    return reader


@pytest.fixture
def tokens(reader: MemoryStateReader, clock: Clock) -> Tokens:
    return Tokens(reader, audiences=OURS, now=clock)
