"""What a transport hands to a group's handlers, and what it is to do with each message after."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from interlock.bus.envelope import Raw


class Delivery(NamedTuple):
    """A message as a transport delivers it. `place` is the transport's own handle on it."""

    raw: Raw
    place: Any = None
    attempts: int = 0
    """Earlier deliveries that failed, or that ended the process."""
    history: tuple[str, ...] = ()
    """One line for each of them."""
    killed: bool = False
    """The last of them ended the process."""


class Done(NamedTuple):
    """Publish the effects and acknowledge, both or neither."""

    delivery: Delivery
    effects: Sequence[Raw] = ()


class Again(NamedTuple):
    """Acknowledge, and deliver it to this group once more after `delay` seconds."""

    delivery: Delivery
    delay: float
    line: str
    """What joins its history."""


class Parked(NamedTuple):
    """Acknowledge, and keep it as a dead letter; `effects` go out with that."""

    delivery: Delivery
    code: str
    reason: str
    line: str
    attempts: int
    """With the one that parked it."""
    traceback: str = ""
    effects: Sequence[Raw] = ()


class Back(NamedTuple):
    """Do nothing: it stays delivered and comes again once our infrastructure is back."""

    delivery: Delivery
    reason: str


Outcome = Done | Again | Parked | Back
