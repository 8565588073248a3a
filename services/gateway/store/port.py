"""What a store of snapshots promises. Both adapters pass `tests/services/gateway/test_store.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol

from interlock.bus import Raw
from interlock.contracts.task import Principal, Task
from services.gateway.model import (
    Happened,
    InDoubt,
    Milestone,
    Place,
    Request,
    Sent,
    Snapshot,
    Unpublished,
)

Wake = Callable[[Place], None]
"""Told of a task that another replica knows news of."""
MOST_PROGRESS = 1000
"""From this many entries on a log takes no more progress, only milestones."""
REPUBLISH_AFTER = 5.0
"""Seconds after which what was accepted and not confirmed is published again."""
GRACE = 60.0
"""Seconds past a deadline from which on the end of a task is asked for, every `GRACE` seconds."""
LOG_AT_ONCE = 200
"""From this many entries on an answer may not have all that a log holds."""
MOST_RECENT = 1000
"""Tasks that a principal's list goes back."""
LEASE = 3.0
"""Seconds for which whoever waits for a call counts as alive without a sign of life."""
LONGEST_WAIT = 3600.0
"""Seconds after which nobody waits any more, whatever the store was not told."""
NOTICED = 0.2
"""Seconds in which the loss of a connection that is closed is noticed, a proxy between included."""


@dataclass(frozen=True, slots=True)
class Accepting:
    """A task that the door takes in, and its request as it must go out."""

    snapshot: Snapshot
    raw: Raw
    request: Request | None = None
    """Kept until the end, where the client may be asked for something."""
    rejoins: bool = False
    """It may not be repeated and has no key: an equal call of the same principal that
    `decide.rejoin` calls open is this one, whose client asks again."""
    since: int | None = None
    """What `InDoubt` said, of whoever asks again."""


@dataclass(frozen=True, slots=True)
class Giving:
    """A task's input, and its message as it must go out."""

    asked: Snapshot | None
    """The task as it was when it asked; None where it does not any more."""
    task: Task
    """Its header in the new round."""
    raw: Raw
    now: datetime


class Given(IntEnum):
    """What became of input."""

    TAKEN = 0
    KNOWN = 1
    """It was given before, the same."""
    OTHER = 2
    """Other input was given before."""
    PASSED = 3
    """Nobody asks for it any more."""


class Applied(IntEnum):
    """What became of a fact."""

    DROPPED = 0
    """Known already, or a start that is past."""
    LOGGED = 1
    """In the log; another stands."""
    STANDS = 2


class Snapshots(Protocol):
    """One replica's access to all snapshots."""

    @property
    def publishes(self) -> bool:
        """Whether what is accepted is on the bus with that, so that nothing is left to publish."""

    async def accept(self, new: Accepting) -> Snapshot | InDoubt | None:
        """Write a task down, whole or not at all; it is accepted then.

        Returns the snapshot that is there already for the same request, `InDoubt` where nothing
        was written for now. Raises `Refused` (`conflict`, 422 at the door) where it is for another
        one; `Unavailable` where surely nothing was written; `Unsure` where that is not known.
        What `rejoins` counts as waited for from then on, for `LEASE` seconds.
        """

    async def renew(self, tasks: Sequence[Task]) -> None:
        """Somebody waits for these calls still; for `LEASE` seconds more that counts."""

    async def leave(self, task: Task, *, told: bool) -> None:
        """Nobody waits for the call any more; `told`: its client was told its end."""

    async def published(self, requests: Sequence[Sent]) -> None:
        """The bus has these."""

    async def request(self, place: Place) -> Request | None:
        """What later rounds bring along; None where nobody can be asked, or the task has ended."""

    async def answer(self, asked: Snapshot, answers: Sequence[tuple[str, str]]) -> Snapshot | None:
        """Add answers (key, JSON text) to what a task asks, the first of each key for good.

        Returns the task with all that there are; None where it does not stand like that any more.
        """

    async def give(self, new: Giving) -> Given:
        """Write a round's input down, once; like `accept` it is accepted then."""

    async def ask(self, task: Task, request: str) -> None:
        """The principal's client waits for the task under this id of a request (JSON text)."""

    async def unask(self, task: Task, request: str) -> None:
        """It does so no longer."""

    async def asked(self, principal: Principal, request: str) -> Sequence[Place]:
        """What the principal's clients, which may be many, wait for under that id."""

    async def project(self, events: Sequence[Happened]) -> Sequence[Applied]:
        """Merge facts, each once, and announce what is new to the replicas that wait for it."""

    async def watch(self, place: Place) -> None:
        """This replica wants to hear of the task from now on."""

    async def read(self, place: Place) -> Snapshot | None:
        """The task as it stands."""

    async def log(self, place: Place, after: int) -> Sequence[Milestone]:
        """Its milestones behind number `after`; see `LOG_AT_ONCE`."""

    async def recent(self, principal: Principal, limit: int) -> Sequence[Snapshot]:
        """The principal's tasks, the newest first."""

    async def unpublished(self, now: datetime) -> Sequence[Unpublished]:
        """Requests that are not confirmed in time; each is given to one replica at a time."""

    async def overdue(self, now: datetime) -> Sequence[Task]:
        """Tasks past their deadline without an end; to one replica, each once in `GRACE` s."""

    async def run(self, wake: Wake) -> None:
        """Pass on what other replicas announce, until cancelled."""
