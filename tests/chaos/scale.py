"""How much: a little in `make test`, everything with INTERLOCK_CHAOS=full (`make chaos`)."""

import os

import pytest

FULL = os.environ.get("INTERLOCK_CHAOS") == "full"
MARKS = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(5 * 3600 if FULL else 300)]
"""Of every module here that starts a suite. In full what stands still is noticed by the load."""


def scaled(little: int, full: int) -> int:
    """A number of tasks."""
    return full if FULL else little
