"""Messages that this process made lately.

What one of its services states others of the same process read. A message that is in every byte
the one that we know, its code with it, needs no second proof and no reading: equality says more
than the code would.
"""

from typing import Any

from interlock.bus.envelope import Envelope, Raw
from interlock.lately import Lately

LEAST = 1024
LONGEST = 32_768
"""Bytes of a body; what is larger is read again."""


class Known:
    """By their codes; the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_code: Lately[str, Envelope[Any]] = Lately(LEAST)

    def add(self, code: str, envelope: Envelope[Any]) -> None:
        """Remember what `code` proves."""
        if len(envelope.raw.body) <= LONGEST:
            self._by_code[code] = envelope

    def find(self, code: str, raw: Raw) -> Envelope[Any] | None:
        """What is known of exactly this message."""
        envelope = self._by_code.get(code)
        return envelope if envelope is not None and envelope.raw == raw else None
