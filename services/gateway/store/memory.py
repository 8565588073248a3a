"""The twin: snapshots within one process, for tests. It uses the rules of `decide.merge` itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from interlock.bus import Raw
from interlock.contracts.task import Principal, Task, TaskState
from interlock.errors import Refused, Unavailable
from services.gateway.decide import merge, rejoin
from services.gateway.decide.merge import Weight
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
from services.gateway.store.port import (
    GRACE,
    LEASE,
    MOST_PROGRESS,
    NOTICED,
    REPUBLISH_AFTER,
    Accepting,
    Applied,
    Given,
    Giving,
    Wake,
)


@dataclass
class _Kept:
    snapshot: Snapshot | None = None
    raw: Raw | None = None
    digest: str = ""
    round: int = 0
    request: Request | None = None
    given: dict[int, str] = field(default_factory=dict)
    answered: set[tuple[int, str]] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    log: list[Milestone] = field(default_factory=list)
    doors: set[str] = field(default_factory=set)
    publish_at: datetime | None = None
    ask_at: datetime | None = None
    told: bool = False
    waited_for: float | None = None
    """Until when somebody surely waits, on the loop's clock; None: it is not asked for again."""


@dataclass
class Shared:
    """What all replicas see; `away` plays an outage."""

    tasks: dict[Place, _Kept] = field(default_factory=dict)
    wakes: dict[str, Wake] = field(default_factory=dict)
    requests: set[tuple[Principal, str, Place]] = field(default_factory=set)
    away: bool = False

    def kept(self, place: Place) -> _Kept:
        if self.away:
            raise Unavailable("the snapshots are away")
        return self.tasks.get(place) or _Kept()


class MemorySnapshots:
    """`Snapshots` of one replica."""

    def __init__(self, shared: Shared, replica: str, *, lease: float = LEASE) -> None:
        self._shared = shared
        self._replica = replica
        self._lease = lease

    @property
    def publishes(self) -> bool:
        return False

    async def accept(self, new: Accepting) -> Snapshot | InDoubt | None:
        snapshot = new.snapshot
        earlier = self._earlier(new) if new.rejoins else None
        if earlier is not None:
            return earlier
        kept = self._shared.kept(snapshot.place)
        there = kept.snapshot
        if there is not None:
            if kept.digest != snapshot.task.request_digest:
                raise conflict(there)
            return there
        self._shared.tasks[snapshot.place] = _Kept(
            snapshot=snapshot,
            raw=new.raw,
            digest=snapshot.task.request_digest,
            request=new.request,
            doors={self._replica},
            publish_at=snapshot.created_at + timedelta(seconds=REPUBLISH_AFTER),
            ask_at=snapshot.task.deadline + timedelta(seconds=GRACE),
            waited_for=_clock() + self._lease if new.rejoins else None,
        )
        return None

    def _earlier(self, new: Accepting) -> Snapshot | InDoubt | None:
        now = _clock()
        since = now + NOTICED if new.since is None else new.since / 1000
        for kept in self._equal(new.snapshot.task):
            assert kept.snapshot is not None
            assert kept.waited_for is not None
            if kept.waited_for <= now:
                moment = new.snapshot.created_at
                if rejoin.is_open(kept.snapshot, told=kept.told, now=moment):
                    kept.waited_for = now + self._lease
                    return kept.snapshot
                kept.waited_for = None
            elif kept.waited_for < since + self._lease:
                return InDoubt(int(since * 1000))
        return None

    def _equal(self, task: Task) -> Sequence[_Kept]:
        """Those that nobody surely waits for come first."""
        found = [
            kept
            for place, kept in self._shared.tasks.items()
            if place.tenant == task.tenant
            and kept.snapshot is not None
            and kept.waited_for is not None
            and kept.snapshot.task.principal == task.principal
            and kept.snapshot.task.request_digest == task.request_digest
        ]
        return sorted(found, key=lambda kept: kept.waited_for or 0.0)

    async def renew(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            kept = self._shared.kept(Place(task.tenant, task.id))
            if kept.waited_for is not None:
                kept.waited_for = _clock() + self._lease

    async def leave(self, task: Task, *, told: bool) -> None:
        kept = self._shared.kept(Place(task.tenant, task.id))
        kept.told = kept.told or told
        ended = told and (kept.snapshot is None or kept.snapshot.state is not TaskState.UNKNOWN)
        if kept.waited_for is not None:
            kept.waited_for = None if ended else 0.0

    async def ask(self, task: Task, request: str) -> None:
        self._shared.requests.add((task.principal, request, Place(task.tenant, task.id)))

    async def unask(self, task: Task, request: str) -> None:
        self._shared.requests.discard((task.principal, request, Place(task.tenant, task.id)))

    async def asked(self, principal: Principal, request: str) -> Sequence[Place]:
        about = principal, request
        return [place for *who, place in self._shared.requests if tuple(who) == about]

    async def published(self, requests: Sequence[Sent]) -> None:
        for place, round_ in requests:
            kept = self._shared.kept(place)
            if kept.round != round_:
                continue
            kept.raw = kept.publish_at = None
            if kept.snapshot is not None:
                kept.snapshot = merge.published(kept.snapshot)

    async def request(self, place: Place) -> Request | None:
        return self._shared.kept(place).request

    async def answer(self, asked: Snapshot, answers: Sequence[tuple[str, str]]) -> Snapshot | None:
        kept = self._shared.kept(asked.place)
        if kept.snapshot is None or kept.snapshot.rank != asked.rank:
            return None
        for key, text in answers:
            if (asked.task.round, key) not in kept.answered:
                kept.answered.add((asked.task.round, key))
                more = kept.snapshot.answers + merge.member(key, text)
                kept.snapshot = replace(kept.snapshot, answers=more)
        return replace(asked, answers=kept.snapshot.answers)

    async def give(self, new: Giving) -> Given:
        place, round_ = Place(new.task.tenant, new.task.id), new.task.round
        kept = self._shared.kept(place)
        if round_ in kept.given:
            same = kept.given[round_] == new.task.request_digest
            return Given.KNOWN if same else Given.OTHER
        if kept.snapshot is None or new.asked is None or kept.snapshot.rank != new.asked.rank:
            return Given.PASSED
        kept.given[round_] = new.task.request_digest
        kept.snapshot = merge.given(kept.snapshot, new.task, new.now)
        kept.raw, kept.round = new.raw, round_
        kept.publish_at = new.now + timedelta(seconds=REPUBLISH_AFTER)
        return Given.TAKEN

    async def project(self, events: Sequence[Happened]) -> Sequence[Applied]:
        return [self._project(event) for event in events]

    def _project(self, event: Happened) -> Applied:
        kept = self._shared.kept(event.place)
        self._shared.tasks[event.place] = kept
        if event.id in kept.known:
            return Applied.DROPPED
        kept.known.add(event.id)
        before, weight = kept.snapshot, merge.weight_of(event.fact)
        rank = merge.rank_of(event.fact)
        if weight is Weight.START and before is not None and rank < before.rank:
            return Applied.DROPPED
        if before is None:
            kept.digest = event.fact.task.request_digest
            kept.ask_at = event.fact.task.deadline + timedelta(seconds=GRACE)
        after = kept.snapshot = merge.merge(before, event)
        if after.final:
            kept.request = None
        if not (weight and len(kept.log) >= MOST_PROGRESS):
            number = len(kept.log) + 1
            kept.log.append(Milestone(number, event.fact.type, event.time, event.fact))
        for door in kept.doors - {self._replica}:
            if door in self._shared.wakes:
                self._shared.wakes[door](event.place)
        return Applied.STANDS if after.fact_id == event.id else Applied.LOGGED

    async def watch(self, place: Place) -> None:
        self._shared.kept(place).doors.add(self._replica)

    async def read(self, place: Place) -> Snapshot | None:
        return self._shared.kept(place).snapshot

    async def log(self, place: Place, after: int) -> Sequence[Milestone]:
        return self._shared.kept(place).log[after:]

    async def recent(self, principal: Principal, limit: int) -> Sequence[Snapshot]:
        found = [
            kept.snapshot
            for kept in self._shared.tasks.values()
            if kept.snapshot and kept.snapshot.task.principal == principal
        ]
        return sorted(found, key=lambda one: one.created_at, reverse=True)[:limit]

    async def unpublished(self, now: datetime) -> Sequence[Unpublished]:
        due = []
        for place, kept in self._shared.tasks.items():
            if kept.raw is not None and kept.publish_at is not None and kept.publish_at <= now:
                kept.publish_at = now + timedelta(seconds=REPUBLISH_AFTER)
                due.append(Unpublished(place, kept.raw, kept.round))
        return due

    async def overdue(self, now: datetime) -> Sequence[Task]:
        due = []
        for kept in self._shared.tasks.values():
            if kept.snapshot is None or kept.snapshot.final:
                continue
            if kept.ask_at is not None and kept.ask_at <= now:
                kept.ask_at = now + timedelta(seconds=GRACE)
                due.append(kept.snapshot.task)
        return due

    async def run(self, wake: Wake) -> None:
        self._shared.wakes[self._replica] = wake
        try:
            await asyncio.Event().wait()
        finally:
            del self._shared.wakes[self._replica]


def _clock() -> float:
    return asyncio.get_running_loop().time()


def conflict(there: Snapshot) -> Refused:
    """An idempotency key stands for another request."""
    return Refused(
        f"the idempotency key was used for another request (task `{there.task.id}`); use a new one",
        code="key_reused",
    )
