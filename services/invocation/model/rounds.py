"""The nouns of later rounds: what an upstream asks for, and what it is given."""

from dataclasses import dataclass

from interlock.contracts.ids import EventId
from interlock.contracts.outcomes import Attempt
from interlock.contracts.task import Client, Task


@dataclass(frozen=True)
class Asks:
    """What an upstream wants to know before it goes on."""

    requests: str
    """By key, exact JSON text of an object."""
    request_state: str | None = None
    """Exact JSON text, to be told again."""


@dataclass(frozen=True)
class Wait:
    """The row waits for input."""

    asks: Asks
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Round:
    """Input that was granted to a task."""

    task: Task
    """Its header in that round."""
    arguments: str
    given: str
    cause: EventId
    traceparent: str | None
    client: Client
