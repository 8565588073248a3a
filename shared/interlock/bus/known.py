"""Messages that this process made, or believed and read, lately.

Several groups of one process get the same message, and what one of its services states another one
reads. A message that is in every byte the one that we know, its code with it, needs no second
proof and no second reading: equality says more than the code would.
"""

from typing import Any

from interlock.bus.envelope import Envelope, Raw

MOST = 2048
LONGEST = 32_768
"""Bytes of a body; what is larger is read again."""


class Known:
    """By their codes; the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_code: dict[str, Envelope[Any]] = {}

    def add(self, code: str, envelope: Envelope[Any]) -> None:
        """Remember what `code` proves."""
        if len(envelope.raw.body) > LONGEST:
            return
        self._by_code[code] = envelope
        if len(self._by_code) > MOST:
            del self._by_code[next(iter(self._by_code))]

    def find(self, code: str, raw: Raw) -> Envelope[Any] | None:
        """What is known of exactly this message."""
        envelope = self._by_code.get(code)
        return envelope if envelope is not None and envelope.raw == raw else None
