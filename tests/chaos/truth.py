"""What was asked for, held against what the gateway, the ledger and the upstream say happened."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from interlock.contracts.outcomes import TaskSettled
from interlock.contracts.task import TaskState
from interlock.identity.keys import load_trust
from interlock.ledger import FolderAnchor, Record, Report, read_export, verify_export
from interlock.ledger.completeness import ENDS
from interlock.ledger.record import parts
from interlock.sdk import Outcome
from tests.components.crm import REPEATABLE
from tests.components.suite import Suite
from tests.components.world import World

PATIENCE = 30.0
GLANCE = 0.2
"""Seconds between two looks at the ledger."""
STATES = {
    "interlock.task.succeeded.v1": TaskState.SUCCEEDED,
    "interlock.task.failed.v1": TaskState.FAILED,
    "interlock.task.denied.v1": TaskState.DENIED,
    "interlock.task.cancelled.v1": TaskState.CANCELLED,
    "interlock.task.unknown.v1": TaskState.UNKNOWN,
}
assert STATES.keys() == ENDS


@dataclass(frozen=True)
class Ledger:
    """What an export holds."""

    report: Report
    ends: Mapping[str, list[str]]
    """By task, the type of each of its ends."""
    types: Counter[str]
    faults: Counter[str]


def read_ledger(suite: Suite, path: Path) -> Ledger:
    """Fetch an export and verify it with the anchor."""
    request = Request(f"{suite.url}/audit/v1/export")
    request.add_header("Authorization", f"Bearer {suite.operator_key}")
    with urlopen(request, timeout=60) as answer:
        path.write_bytes(answer.read())
    report = verify_export(
        path, load_trust(suite.data / "keys"), FolderAnchor(suite.data / "anchor")
    )
    ends: dict[str, list[str]] = defaultdict(list)
    types, faults = Counter[str](), Counter[str]()
    for line in read_export(path):
        if not isinstance(line, Record) or line.entry is None:
            continue
        entry = line.entry
        if entry.fault:
            faults[entry.fault] += 1
            continue
        kind = parts(entry.kept)[1]["ce_type"]
        types[kind] += 1
        if kind in ENDS or kind == TaskSettled.type:
            ends[entry.subject].append(kind)
    return Ledger(report, ends, types, faults)


async def settled_ledger(suite: Suite, tasks: Mapping[str, str], path: Path) -> Ledger:
    """The ledger once it has caught up: an end for each task, a cause for each record."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while True:
        ledger = await asyncio.to_thread(read_ledger, suite, path)
        whole = ledger.report.open_count == 0 and ledger.report.late_causes == 0
        if (whole and ledger.ends.keys() >= tasks.keys()) or loop.time() > until:
            return ledger
        await asyncio.sleep(GLANCE)


async def faults_of(world: World, tasks: Mapping[str, str], ended: Mapping[str, Outcome],
                    path: Path) -> list[str]:
    """Every way in which what happened to `tasks` (id → tool) is not what was promised."""
    ledger = await settled_ledger(world.suite, tasks, path)
    calls = world.crm.calls()
    found = [] if ledger.report.ok else [ledger.report.text()]
    if ledger.report.open_count or ledger.report.late_causes:
        found.append(f"the ledger is not whole: {ledger.report.text()}")
    for task, tool in tasks.items():
        ends, outcome = ledger.ends.get(task, []), ended.get(task)
        wrong = _wrong(tool, outcome, ends, calls[task])
        found += [f"{task} ({tool}, {outcome and outcome.state}): {one}" for one in wrong]
    return found


def _wrong(tool: str, outcome: Outcome | None, ends: list[str], calls: int) -> list[str]:
    if outcome is None or not outcome.state.final:
        return ["it did not end"]
    found = []
    own = [end for end in ends if end in ENDS]
    settled = TaskSettled.type in ends
    if len(own) != 1:
        found.append(f"the ledger has these ends: {ends}")
    elif STATES[own[0]] is not outcome.state and not settled:
        found.append(f"the ledger says `{own[0]}`")
    if tool == REPEATABLE:
        if outcome.state is not TaskState.SUCCEEDED:
            found.append(f"it may be repeated and was lost: {outcome.code} {outcome.reason}")
        elif calls < 1:
            found.append("nobody called the upstream")
        return found
    if calls > 1:
        found.append(f"the upstream was called {calls} times")
    if outcome.state is TaskState.SUCCEEDED and calls != 1:
        found.append(f"it succeeded, and the upstream was called {calls} times")
    if outcome.state is TaskState.FAILED and calls:
        found.append(f"it failed, and the upstream was called: {outcome.code} {outcome.reason}")
    return found


def states(ended: Mapping[str, Outcome]) -> str:
    """How many ended how, for the report of a run."""
    counted = Counter(outcome.state.value for outcome in ended.values())
    return ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
