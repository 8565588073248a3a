"""Moving messages between services. Adapters that need a broker are imported by name."""

from interlock.bus.batch import Together
from interlock.bus.envelope import Arrival, Envelope, Letter, Raw
from interlock.bus.memory import MemoryBus
from interlock.bus.observe import Observer, Silent
from interlock.bus.opening import Opening, open_bus
from interlock.bus.port import (
    Backlog,
    Bus,
    BusEntry,
    Change,
    Effects,
    Group,
    Limits,
    Route,
    any_letter,
    dead_topic,
    on,
)
from interlock.bus.wire import Keyring, Stamp

__all__ = [
    "Arrival",
    "Backlog",
    "Bus",
    "BusEntry",
    "Change",
    "Effects",
    "Envelope",
    "Group",
    "Keyring",
    "Letter",
    "Limits",
    "MemoryBus",
    "Observer",
    "Opening",
    "Raw",
    "Route",
    "Silent",
    "Stamp",
    "Together",
    "any_letter",
    "dead_topic",
    "on",
    "open_bus",
]
