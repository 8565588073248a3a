"""What a store of snapshots promises. Both adapters pass `tests/services/gateway/test_store.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from interlock.bus import Raw
from interlock.contracts.task import Principal, Task
from services.gateway.model import Happened, Milestone, Place, Snapshot, Unpublished

Wake = Callable[[Place], None]
"""Told of a task that another replica knows news of."""
MOST_PROGRESS = 1000
"""From this many entries on a log takes no more progress, only milestones."""
REPUBLISH_AFTER = 5.0
"""Seconds after which what was accepted and not confirmed is published again."""
GRACE = 60.0
"""Seconds past a deadline from which on the end of a task is asked for, every `GRACE` seconds."""
MOST_RECENT = 1000
"""Tasks that a principal's list goes back."""


@dataclass(frozen=True, slots=True)
class Accepting:
    """A task that the door takes in, and its request as it must go out."""

    snapshot: Snapshot
    raw: Raw


class Applied(IntEnum):
    """What became of a fact."""

    DROPPED = 0
    """Known already, or stale progress."""
    LOGGED = 1
    """In the log; another stands."""
    STANDS = 2


class Snapshots(Protocol):
    """One replica's access to all snapshots."""

    async def accept(self, new: Accepting) -> Snapshot | None:
        """Write a task down, whole or not at all; it is accepted then.

        Returns the snapshot that is there already for the same request. Raises `Refused`
        (`conflict`, 422 at the door) where it is for another one; `Unavailable` where surely
        nothing was written; `Unsure` where that is not known.
        """

    async def published(self, places: Sequence[Place]) -> None:
        """The bus has these requests."""

    async def project(self, events: Sequence[Happened]) -> Sequence[Applied]:
        """Merge facts, each once, and announce what is new to the replicas that wait for it."""

    async def watch(self, place: Place) -> None:
        """This replica wants to hear of the task from now on."""

    async def read(self, place: Place) -> Snapshot | None:
        """The task as it stands."""

    async def log(self, place: Place, after: int) -> Sequence[Milestone]:
        """Its milestones behind number `after`."""

    async def recent(self, principal: Principal, limit: int) -> Sequence[Snapshot]:
        """The principal's tasks, the newest first."""

    async def unpublished(self, now: datetime) -> Sequence[Unpublished]:
        """Requests that are not confirmed in time; each is given to one replica at a time."""

    async def overdue(self, now: datetime) -> Sequence[Task]:
        """Tasks past their deadline without an end; to one replica, each once in `GRACE` s."""

    async def run(self, wake: Wake) -> None:
        """Pass on what other replicas announce, until cancelled."""
