"""What is on the outside of a message, and the raw form in which every transport carries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from interlock.contracts.ids import EventId
from interlock.contracts.message import Fact
from interlock.contracts.topics import Topic

F_co = TypeVar("F_co", bound=Fact, covariant=True)


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it travels: CloudEvents attributes (binary mode) beside the body's bytes.

    Attributes: `ce_id ce_source ce_type ce_subject ce_time ce_tenant ce_cause ce_taskkind
    traceparent` and the suite's `mac` (`<key id>:<hex>`). What cannot be a header on some
    transport is not used.
    """

    topic: Topic
    attributes: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> EventId:
        """Its id, believed only once the code is checked."""
        return EventId(self.attributes.get("ce_id", ""))


@dataclass(frozen=True, slots=True)
class Envelope(Generic[F_co]):
    """A believed, readable message."""

    id: EventId
    body: F_co
    source: str
    time: datetime
    cause: EventId | None
    traceparent: str | None
    raw: Raw


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message for a group that keeps everything, readable or not (audit).

    `fault` says why it cannot be believed or read; then `fact` is None.
    """

    raw: Raw
    fact: Fact | None = None
    fault: str | None = None
    """`forged`, `unreadable` or `unknown_type`."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: a message that a group parked."""

    dead_topic: str
    """`<topic>.<group>.dead`"""
    letter_id: EventId
    raw: Raw
    code: str
    reason: str
    traceback: str
    attempts: int
    parked_at: datetime
    history: Sequence[str] = field(default=())
    """One line per earlier attempt: when and why it failed."""
