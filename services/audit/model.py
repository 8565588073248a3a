"""The nouns of audit, beside those of `interlock.ledger`."""

from dataclasses import dataclass
from typing import NamedTuple

from interlock.ledger import Entry, Record


class Index(NamedTuple):
    """What a record is found by. Nothing of it is proof: all follows from the kept bytes.

    A tuple, as it is a part of a row, and made for each message.
    """

    topic: str
    type: str
    source: str = ""
    cause: str | None = None
    stated_at: int | None = None
    """The message's own time: whole microseconds since 1970, UTC."""
    traceparent: str | None = None
    kind: str | None = None
    agent: str | None = None
    user: str | None = None
    """The user for whom an agent acts, or the person who acts."""
    server: str | None = None
    tool: str | None = None
    decision: str | None = None
    """`allow`, `deny`, `hold`, `approve`."""
    decision_id: str | None = None
    policy_version: int | None = None
    outcome: str | None = None
    """How the task ended."""
    latency: float | None = None
    """Seconds that its attempts took at the upstream, together."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is to be appended."""

    entry: Entry
    index: Index


@dataclass(frozen=True, slots=True)
class Found:
    """A record, and by what it is found."""

    record: Record
    entry: Entry
    index: Index


@dataclass(frozen=True, slots=True)
class Place:
    """A record's place in the order of arrival, over all shards."""

    arrived_at: int
    shard: int
    seq: int


@dataclass(frozen=True, slots=True)
class Question:
    """Which records are wanted: all that match, newest first."""

    tenants: tuple[str, ...]
    subject: str | None = None
    agent: str | None = None
    server: str | None = None
    tool: str | None = None
    type: str | None = None
    since: int | None = None
    until: int | None = None
    """By arrival, microseconds: `since` ≤ arrived < `until`."""
    after: Place | None = None
    """Go on behind this one."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Count:
    """How many records share these."""

    type: str
    decision: str | None
    outcome: str | None
    fault: str
    records: int
