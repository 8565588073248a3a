"""What the bus tells of tasks, as the gateway counts it."""

import asyncio
from itertools import permutations

import pytest

from interlock.bus import Envelope
from interlock.contracts.outcomes import Settlement, TaskSettled, TaskStarted, TaskUnknown
from interlock.contracts.task import TaskEvent
from interlock.telemetry.metrics import Metrics
from interlock.testing.build import person, sent, task
from services.gateway.handlers.projector import Projector
from services.gateway.handlers.waiting import Waiters
from services.gateway.store import MemorySnapshots, Shared

FACTS: tuple[TaskEvent, ...] = (
    TaskStarted(task=task(), attempt=1),
    TaskUnknown(task=task(), code="lost", reason="nobody knows"),
    TaskSettled(task=task(), outcome=Settlement.SUCCEEDED, by=person()),
)
EVENTS = [sent(fact, "invocation") for fact in FACTS]


@pytest.mark.parametrize("order", list(permutations(EVENTS)))
async def test_a_task_is_counted_once_by_how_it_ended(
    order: tuple[Envelope[TaskEvent], ...],
) -> None:
    """In whatever order its facts come, however often, and whoever settles it later."""
    metrics = Metrics()
    projector = Projector(MemorySnapshots(Shared(), "one"), Waiters(asyncio.Event()), metrics)
    for event in (*order, *order):
        await projector.happened(event)
    (counted,) = metrics.tasks.collect()
    totals = [one for one in counted.samples if one.name == "interlock_tasks_total"]
    assert [(one.labels["state"], one.value) for one in totals] == [("unknown", 1.0)]
