"""What the bus tells of tasks goes into their snapshots, and to whoever waits."""

from collections.abc import Sequence

from interlock.bus import Effects, Envelope, Route, Together, on
from interlock.contracts.outcomes import TaskSettled
from interlock.contracts.task import TaskEvent
from interlock.telemetry.metrics import Metrics
from services.gateway.decide.merge import STATES, state_of
from services.gateway.handlers.waiting import Waiters
from services.gateway.model import Happened
from services.gateway.store import Applied, Snapshots


class Projector:
    """Group `gateway` on `task.events`; one exchange with the store for a batch."""

    def __init__(self, store: Snapshots, waiters: Waiters, metrics: Metrics) -> None:
        self._store = store
        self._waiters = waiters
        self._metrics = metrics
        self._together = Together(self._project)

    def routes(self) -> Sequence[Route]:
        """Every fact about a task."""
        kinds: tuple[type[TaskEvent], ...] = (*STATES, TaskSettled)
        return [on(kind, self.happened) for kind in kinds]

    async def happened(self, envelope: Envelope[TaskEvent]) -> Effects:
        """Merge one fact; causes nothing."""
        event = Happened(envelope.id, envelope.body, envelope.time, envelope.raw.body)
        await self._together(event)
        return ()

    async def _project(self, events: Sequence[Happened]) -> Sequence[None]:
        applied = await self._store.project(events)
        for event, how in zip(events, applied, strict=True):
            if how is Applied.DROPPED:
                continue
            self._waiters.tell(event.place, event)
            state = state_of(event.fact)
            if state.final and not isinstance(event.fact, TaskSettled):  # it ended before
                self._metrics.tasks.labels(event.fact.task.kind, state).inc()
        return [None] * len(events)
