"""The fault matrix as data: which fault, on which stands, and what it may cost."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tests.chaos import messages, processes, roads
from tests.chaos.scale import scaled
from tests.chaos.scene import Scene

BUSES = ("valkey", "kafka", "sqs")
HEAVY = scaled(40, 10_000)
"""Tasks of the three heaviest rows."""
USUAL = scaled(24, 1000)


@dataclass(frozen=True)
class Row:
    """One fault. Under it every task ends once, as it would have ended without."""

    id: str
    told: str
    """As the report names it."""
    fault: Callable[[Scene], Awaitable[None]]
    """Plays it while tasks flow; returns when it is over and the suite has recovered."""
    on: tuple[str, ...]
    """Stands on which every run plays it."""
    also: tuple[str, ...] = field(default=(), kw_only=True)
    """Stands on which only a full run plays it."""
    tasks: int = USUAL
    unknown: bool = False
    """A call may be cut in the middle: one that may not be repeated is `unknown` then."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot be had elsewhere, by stand."""
    marks: tuple[pytest.MarkDecorator, ...] = ()


ROWS = (
    Row(
        "everything-killed",
        "every process killed with -9 and started again",
        processes.everything_killed,
        ("embedded",),
        also=("postgres",),
        unknown=True,
        marks=(pytest.mark.promise("survives"),),
    ),
    Row(
        "consumers-killed",
        "consumer killed with -9 in mid batch",
        processes.consumers_killed,
        BUSES,
        also=("postgres",),
        tasks=HEAVY,
        unknown=True,
        marks=(pytest.mark.promise("separate"),),
    ),
    Row(
        "stopped",
        "graceful stop under load",
        processes.stopped,
        ("embedded", *BUSES),
        also=("postgres",),
    ),
    Row(
        "broker-killed",
        "broker killed with -9 and restarted",
        roads.broker_killed,
        ("valkey", "kafka"),
        tasks=HEAVY,
        instead={"sqs": "a service of AWS: nobody can kill it"},
        marks=(pytest.mark.promise("outage"),),
    ),
    Row(
        "network-cut",
        "network held, then cut, longer than the group waits",
        roads.network_cut,
        BUSES,
        unknown=True,
    ),
    Row(
        "rebalance-storm",
        "members join and leave every second",
        messages.storm_of_members,
        BUSES,
        tasks=HEAVY,
    ),
    Row(
        "delivered-twice",
        "duplicate delivery",
        messages.delivered_twice,
        BUSES,
        marks=(pytest.mark.promise("any-order"),),
    ),
    Row(
        "mixed-up",
        "out-of-order delivery",
        messages.mixed_up,
        BUSES,
        marks=(pytest.mark.promise("any-order"),),
    ),
    Row("poisoned", "poison messages", messages.poisoned, BUSES),
    Row(
        "slow-handler",
        "handler slower than the visibility or poll limit",
        processes.slow,
        BUSES,
        also=("postgres",),
    ),
    Row(
        "stood-still",
        "a worker stands still longer than its lease, and goes on",
        processes.stood_still,
        BUSES,
        also=("postgres",),
        unknown=True,
    ),
    Row(
        "broker-full",
        "broker out of memory or disk",
        roads.broker_full,
        ("valkey", "kafka"),
        instead={"sqs": "a queue of AWS has no size"},
    ),
    Row(
        "clock-jumped",
        "clock jumps 10 minutes, ahead and back",
        processes.clock_jumped,
        BUSES,
    ),
    Row(
        "acknowledgement-lost",
        "process killed between effects and acknowledgement",
        processes.acknowledgement_lost,
        BUSES,
        unknown=True,
    ),
    Row(
        "database-killed",
        "SQL database killed with -9 and restarted",
        roads.database_killed,
        ("postgres",),
        unknown=True,
        instead=dict.fromkeys((*BUSES, "embedded"), "SQLite has no server"),
    ),
    Row(
        "storm",
        "processes killed and paused at random",
        processes.storm,
        (),
        also=("valkey",),
        unknown=True,
    ),
)
