"""Libraries that say one thing over and over, as a client does while its broker is away."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from interlock.lately import Lately

SECONDS = 10.0
"""Between two times that the same words of the same library are passed on."""
REMEMBERED = 256


@dataclass
class _Said:
    at: float
    left_out: int = 0


class Seldom(logging.Filter):
    """Passes on what was said in just these words at most once in `SECONDS`, and with it how often
    it was left out before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: Lately[tuple[str, str], _Said] = Lately(REMEMBERED)

    def filter(self, record: logging.LogRecord) -> bool:
        words = record.getMessage()
        said = self._said.get((record.name, words))
        now = self._clock()
        if said is not None and now - said.at < SECONDS:
            said.left_out += 1
            return False
        if said is not None and said.left_out:
            record.msg, record.args = f"{words} (and {said.left_out} times more before)", ()
        self._said[record.name, words] = _Said(now)
        return True
