"""How much: a little in `make test`, everything with INTERLOCK_CHAOS=full (`make chaos`)."""

import os

FULL = os.environ.get("INTERLOCK_CHAOS") == "full"


def scaled(little: int, full: int) -> int:
    """A number of tasks."""
    return full if FULL else little
