"""How much fuzzing a run does, and what no answer may ever hold."""

import os
from pathlib import Path

from hypothesis import HealthCheck, settings

FULL = os.environ.get("INTERLOCK_FUZZ") == "full"
"""Much more, and another path each time; otherwise the same few each time."""
LEAKS = ("Traceback", "site-packages", "sqlite", "asyncpg", str(Path(__file__).parents[1]))
"""What only our insides say."""


def fuzzed(examples: int) -> settings:
    """Settings of one fuzzer: so many examples, fifty times that in a full run."""
    return settings(
        max_examples=examples * 50 if FULL else examples,
        derandomize=not FULL,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def require_sound(status: int, text: str, *secrets: str) -> None:
    """An answer that a caller may be given, whatever was asked."""
    assert status < 500 or (status == 502 and "unreachable" in text), (status, text[:500])
    found = [leak for leak in (*LEAKS, *secrets) if leak in text]
    assert not found, (found, text[:500])
