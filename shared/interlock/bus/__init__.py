"""Moving messages between services. Adapters that need a broker are imported by name."""

from interlock.bus.batch import Together
from interlock.bus.envelope import Arrival, Envelope, Letter, Raw
from interlock.bus.memory import MemoryBus
from interlock.bus.observe import Observer, Silent
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
    "MemoryBus",
    "Observer",
    "Raw",
    "Route",
    "Silent",
    "Stamp",
    "Together",
    "dead_topic",
    "on",
]
