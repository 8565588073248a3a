"""How old the oldest message of a queue is, as far as this process can know.

SQS tells it to CloudWatch only. We know it of what we hold and of what we delayed. For what lies
there unread the best that is known is when the last one read was sent, or when the queue was last
seen empty, whichever is later: a lower bound of its age, exact for a queue that keeps its order.
"""

from dataclasses import dataclass, field


@dataclass
class Ages:
    """Of one queue. Times in milliseconds since 1970."""

    _held: dict[str, int] = field(default_factory=dict)
    _delayed: list[tuple[int, int]] = field(default_factory=list)
    """(until, since)"""
    _last: int = 0

    def took(self, handle: str, since: int) -> None:
        self._held[handle] = since
        self._last = max(self._last, since)

    def settled(self, handle: str) -> None:
        self._held.pop(handle, None)

    def delayed(self, until: int, since: int) -> None:
        self._delayed.append((until, since))

    def oldest(self, waiting: int, in_flight: int, now: int) -> float:
        """Seconds, beside what the queue says of its numbers."""
        if not waiting:
            self._last = now
        if not waiting + in_flight:
            return 0.0
        self._last = self._last or now
        self._delayed = [(until, since) for until, since in self._delayed if until > now]
        since = [*self._held.values(), *(since for _, since in self._delayed)]
        if waiting > len(self._delayed) or not since:
            since.append(self._last)
        return max(0.0, (now - min(since)) / 1000)
