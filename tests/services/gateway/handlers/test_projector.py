"""What the bus tells of tasks, as the gateway counts it."""

import asyncio
from itertools import permutations
from typing import cast

import pytest

from interlock.bus import Envelope, Raw, Stamp
from interlock.bus.wire import read
from interlock.contracts.outcomes import Settlement, TaskSettled, TaskStarted, TaskUnknown
from interlock.contracts.task import TaskEvent
from interlock.telemetry.metrics import Metrics
from interlock.testing.build import KEYRING, noon, person, task
from services.gateway.handlers.projector import Projector
from services.gateway.handlers.waiting import Waiters
from services.gateway.store import MemorySnapshots, Shared

FACTS: tuple[TaskEvent, ...] = (
    TaskStarted(task=task(), attempt=1),
    TaskUnknown(task=task(), code="lost", reason="nobody knows"),
    TaskSettled(task=task(), outcome=Settlement.SUCCEEDED, by=person()),
)
RAWS = [Stamp("invocation", KEYRING, noon).from_journal(fact, (1, 0), None) for fact in FACTS]


@pytest.mark.parametrize("order", list(permutations(RAWS)))
async def test_a_task_is_counted_once_by_how_it_ended(order: tuple[Raw, ...]) -> None:
    """In whatever order its facts come, however often, and whoever settles it later."""
    metrics = Metrics()
    projector = Projector(MemorySnapshots(Shared(), "one"), Waiters(asyncio.Event()), metrics)
    for raw in (*order, *order):
        await projector.happened(cast("Envelope[TaskEvent]", read(raw)))
    (counted,) = metrics.tasks.collect()
    totals = [one for one in counted.samples if one.name == "interlock_tasks_total"]
    assert [(one.labels["state"], one.value) for one in totals] == [("unknown", 1.0)]
