"""What is on the outside of a message, and the raw form in which every transport carries it.

Named tuples, as all that is made anew for every message: a frozen dataclass takes more than
twice as long to make.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from interlock.contracts.ids import EventId
from interlock.contracts.message import Fact
from interlock.contracts.topics import Topic

F_co = TypeVar("F_co", bound=Fact, covariant=True)


class Raw(NamedTuple):
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


class Envelope(NamedTuple, Generic[F_co]):
    """A believed, readable message."""

    id: EventId
    body: F_co
    source: str
    time: datetime
    cause: EventId | None
    traceparent: str | None
    raw: Raw


class Arrival(NamedTuple):
    """A message for a group that keeps everything, readable or not (audit).

    `fault` says why it cannot be believed or read; then `fact` is None.
    """

    raw: Raw
    fact: Fact | None = None
    fault: str | None = None
    """`forged`, `unreadable` or `unknown_type`."""
    reason: str = ""


class Letter(NamedTuple):
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
    history: Sequence[str] = ()
    """One line per earlier attempt: when and why it failed."""
