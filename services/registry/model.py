"""The nouns of the registry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from interlock.contracts.catalogue import Execution, Risk, ServerRecord, ToolRecord


@dataclass(frozen=True)
class ToolChange:
    """What an owner may set of a tool; None leaves it as it is."""

    repeatable: bool | None = None
    required_scopes: tuple[str, ...] | None = None
    risk: Risk | None = None
    timeout_seconds: float | None = None
    execution: Execution | None = None
    inline_seconds: float | None = None


class Looking(StrEnum):
    """Whether an upstream is being looked at."""

    NO = ""
    ASKED = "asked"
    """An inspection is under way."""
    AGAIN = "again"
    """One is, and its upstream has changed meanwhile: another follows."""


@dataclass(frozen=True)
class Entry:
    """A server as the registry knows it: what is published, and what is not yet believed."""

    record: ServerRecord
    changes: Mapping[str, ToolChange] = field(default_factory=dict)
    """Owners' settings by tool; they outlive an inspection."""
    pending: tuple[ToolRecord, ...] = ()
    """Tools whose definition changed at the upstream: withheld until a reviewer accepts them."""
    inspect_task: str | None = None
    """The inspection under way or last ended; the end of an older one is ignored."""
    inspect_error: str | None = None
    looking: Looking = Looking.NO
    revision: int = 0
    """Grows with each change; writers compare it."""


@dataclass(frozen=True)
class Moment:
    """One line of a server's history."""

    at: datetime
    by: str
    what: str
    reason: str = ""


@dataclass(frozen=True)
class Similar:
    """Another server that looks like the one being registered, and why."""

    name: str
    why: str
