"""Moving messages between services."""

from interlock.bus.batch import Together
from interlock.bus.envelope import Arrival, Envelope, Letter, Raw
from interlock.bus.port import Backlog, Bus, Effects, Group, Limits, Route, dead_topic, on
from interlock.bus.wire import Keyring, Stamp

__all__ = [
    "Arrival",
    "Backlog",
    "Bus",
    "Effects",
    "Envelope",
    "Group",
    "Keyring",
    "Letter",
    "Limits",
    "Raw",
    "Route",
    "Stamp",
    "Together",
    "dead_topic",
    "on",
]
