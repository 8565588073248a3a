"""Which rows to claim, and which leases nobody holds any more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.invocation.model import Key, Lease, Limits, Upstream


def choose(
    waiting: Sequence[tuple[Key, Upstream]], room: Mapping[Upstream, int], otherwise: int
) -> list[Key]:
    """Which rows to claim, oldest first: of each upstream as many as it has room for.

    `otherwise` is the room of an upstream that `room` does not name.
    """
    left = dict(room)
    chosen = []
    for key, upstream in waiting:
        free = left.get(upstream, otherwise)
        if free > 0:
            left[upstream] = free - 1
            chosen.append(key)
    return chosen


@dataclass(frozen=True)
class Pulse:
    """A lease as an observer last saw it move."""

    beat: int | None
    since: float
    """The observer's own monotonic clock, in seconds."""


def watch(
    seen: Mapping[Lease, Pulse], beats: Mapping[Lease, int | None], clock: float
) -> dict[Lease, Pulse]:
    """What is known after another look: leases that moved, or are new, begin anew."""
    return {
        lease: seen[lease] if lease in seen and seen[lease].beat == beat else Pulse(beat, clock)
        for lease, beat in beats.items()
    }


def dead(seen: Mapping[Lease, Pulse], clock: float, limits: Limits) -> list[Lease]:
    """Leases whose holder has not moved for `lease_seconds`."""
    return [lease for lease, pulse in seen.items() if clock - pulse.since >= limits.lease_seconds]
