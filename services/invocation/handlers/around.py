"""What every part of invocation works with."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from interlock.bus import Bus, Raw, Stamp
from interlock.contracts.catalogue import ServerRecord
from interlock.contracts.outcomes import TaskCancelled, TaskDenied, TaskFailed, TaskSucceeded
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskEvent, TaskState
from interlock.state.port import AGENTS, CATALOGUE, REVOCATIONS, StateReader
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import Traces
from services.invocation.clients import Upstream
from services.invocation.model import Job, Limits, Outcome, World
from services.invocation.store import Journal


class Published:
    """What registry and auth publish, as far as it matters here."""

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._catalogue = reader.view(CATALOGUE)
        self._agents = reader.view(AGENTS)
        self._revocations = reader.view(REVOCATIONS)

    @property
    def fresh(self) -> bool:
        """While False nothing is claimed, and nothing is given up."""
        return self._reader.fresh

    def world(self, task: Task) -> World:
        """What is published about a task at this moment."""
        return World(
            self._catalogue.get(task.tenant, task.server),
            self._agents.get(task.tenant, task.principal.name),
            self._revocations.of(task.tenant),
        )

    def servers(self) -> list[ServerRecord]:
        """All that any call may reach."""
        tenants = self._catalogue.tenants()
        records = [one for tenant in tenants for one in self._catalogue.of(tenant).values()]
        return [one for one in records if one.lifecycle.callable]

    async def confirm(self) -> None:
        """See the newest: to be awaited before a *no* is final."""
        for view in (self._catalogue, self._agents, self._revocations):
            await view.confirm()


@dataclass(frozen=True)
class Around:
    """The surroundings of one process's worker."""

    owner: str
    """A name that no other process has or will have: the owner of its leases."""
    journal: Journal
    upstream: Upstream
    published: Published
    bus: Bus
    stamp: Stamp
    traces: Traces
    metrics: Metrics
    now: Callable[[], datetime]
    limits: Limits = field(default=Limits())
    chance: Callable[[], float] = random.random
    """Uniform in [0, 1): the jitter of a pause."""

    def state(self, job: Job, fact: TaskEvent, seq: int = 0) -> Raw:
        """A message about the job's attempt: the same fact always has the same id."""
        return self.stamp.from_journal(fact, (job.attempt, seq), job.cause, job.traceparent)


def ended_as(outcome: Outcome) -> TaskState:
    """The state in which an outcome leaves its task."""
    if isinstance(outcome, TaskSucceeded):
        return TaskState.SUCCEEDED
    if isinstance(outcome, TaskFailed):
        return TaskState.FAILED
    if isinstance(outcome, TaskDenied):
        return TaskState.DENIED
    return TaskState.CANCELLED if isinstance(outcome, TaskCancelled) else TaskState.UNKNOWN


def itself(tenant: str) -> Principal:
    """Invocation, as the one who settles by a late answer."""
    return Principal(tenant=tenant, kind=PrincipalKind.SERVICE, name="invocation")
