"""What a member holds of its partitions: what it read, where it stands, what may be deadly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from interlock.bus.outcome import Delivery

Offsets = dict[TopicPartition, int]
UNHELD = 0
"""Committed with an offset by who leaves in order."""
HELD = 1
"""Committed with an offset by who reads on: whoever finds it knows that its holder died."""


@dataclass
class Hand:
    """A batch: what of it is not settled yet, and how far it was read."""

    left: list[Delivery] = field(default_factory=list)
    _ends: Offsets = field(default_factory=dict)

    @classmethod
    def of(cls, deliveries: Sequence[Delivery]) -> "Hand":
        places = [one.place for one in deliveries]  # in order: the last of each partition holds
        last = {(place.topic, place.partition): place.offset for place in places}
        return cls(list(deliveries), {TopicPartition(*at): last[at] + 1 for at in last})

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """These of it are done with."""
        if len(deliveries) == len(self.left):
            self.left = []
            return
        gone = {id(one.place) for one in deliveries}
        self.left = [one for one in self.left if id(one.place) not in gone]

    def offsets(self) -> Offsets:
        """The next offset of each partition: of the first that is not settled, else the end."""
        found = dict(self._ends)
        for one in reversed(self.left):
            found[spot(one)] = one.place.offset
        return found


@dataclass(frozen=True)
class Suspects:
    """The messages of one partition that a dead member may have had in hand."""

    first: int
    until: int
    deaths: int
    """How often a process ended while `first` was in its hands; alone in them, if above one."""


def marked(deaths: int) -> str:
    """What is committed with an offset: how many processes ended at it, if this one does now."""
    return str(deaths)


def mark_of(metadata: str) -> int:
    """What `marked` wrote; somebody else's words count as nothing."""
    return int(metadata) if metadata.isascii() and metadata.isdigit() and len(metadata) < 6 else 0


def suspicious(
    found: Mapping[TopicPartition, Any], ends: Offsets, reach: int
) -> dict[TopicPartition, Suspects]:
    """Which partitions were left without a word, and what lies there that was in hand perhaps.

    `found`: committed offsets with metadata; `ends`: where those partitions end now; `reach`: how
    many messages beyond its committed offset a member may have had in hand.
    """
    return {
        spot: Suspects(one.offset, min(one.offset + reach, ends[spot]), mark_of(one.metadata))
        for spot, one in found.items()
        if spot in ends and mark_of(one.metadata) != UNHELD and one.offset < ends[spot]
    }


def accused(delivery: Delivery, suspects: Suspects, max_attempts: int) -> Delivery:
    """With its deaths counted as attempts.

    Nobody is condemned for having been near: only who was alone dies of its last attempt.
    """
    deaths = suspects.deaths if delivery.place.offset == suspects.first else HELD
    if deaths == HELD and delivery.attempts + 1 >= max_attempts:
        return delivery
    return delivery._replace(attempts=delivery.attempts + deaths, killed=True)


def spot(delivery: Delivery) -> TopicPartition:
    """Where it lies."""
    return TopicPartition(delivery.place.topic, delivery.place.partition)
