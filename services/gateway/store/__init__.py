"""Where snapshots live: what the gateway keeps promises with."""

from services.gateway.store.memory import MemorySnapshots, Shared
from services.gateway.store.port import (
    LOG_AT_ONCE,
    MOST_PROGRESS,
    Accepting,
    Applied,
    Given,
    Giving,
    Snapshots,
)
from services.gateway.store.redis import RedisSnapshots
from services.gateway.store.sessions import MemorySessions, RedisSessions, Sessions

__all__ = [
    "LOG_AT_ONCE",
    "MOST_PROGRESS",
    "Accepting",
    "Applied",
    "Given",
    "Giving",
    "MemorySessions",
    "MemorySnapshots",
    "RedisSessions",
    "RedisSnapshots",
    "Sessions",
    "Shared",
    "Snapshots",
]
