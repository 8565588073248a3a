"""What was asked for, held against what the gateway, the ledger and the upstream say happened."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.request import Request, urlopen

from interlock.contracts.outcomes import DoorRefused, TaskFailed, TaskSettled
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
"""Seconds in which the ledger does not grow."""
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
CALLS = {TaskState.SUCCEEDED: 1, TaskState.FAILED: 0, TaskState.DENIED: 0, TaskState.CANCELLED: 0}
"""How often a call that may not be repeated took effect; what is unknown may or may not have."""


@dataclass(frozen=True)
class Ledger:
    """What an export holds."""

    report: Report
    ends: Mapping[str, list[str]]
    """By task, the type of each of its ends."""
    types: Counter[str]
    faults: Counter[str]
    latest: datetime
    """The latest time that a record's writer stated."""
    refused: Counter[str]
    """By code, how many requests were refused at doors."""
    errors: list[str]
    """Errors of JSON-RPC (JSON texts) with which upstreams ended tasks."""


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
    types, faults, refused = Counter[str](), Counter[str](), Counter[str]()
    latest, errors = "", list[str]()
    for line in read_export(path):
        if not isinstance(line, Record) or line.entry is None:
            continue
        entry = line.entry
        if entry.fault:
            faults[entry.fault] += 1
            continue
        _, attributes, body = parts(entry.kept)
        kind, latest = attributes["ce_type"], max(latest, attributes["ce_time"])
        types[kind] += 1
        if kind == DoorRefused.type:
            told = DoorRefused.model_validate_json(body)
            refused[told.code] += told.count
        if kind == TaskFailed.type:
            errors += [TaskFailed.model_validate_json(body).error or ""]
        if kind in ENDS or kind == TaskSettled.type:
            ends[entry.subject].append(kind)
    return Ledger(report, ends, types, faults, datetime.fromisoformat(latest), refused, errors)


async def settled_ledger(suite: Suite, tasks: Mapping[str, str], path: Path) -> Ledger:
    """The ledger once it has caught up: an end for each task, a cause for each record."""
    loop = asyncio.get_running_loop()
    until, size = loop.time() + PATIENCE, 0
    while True:
        ledger = await asyncio.to_thread(read_ledger, suite, path)
        if ledger.types.total() > size:
            until, size = loop.time() + PATIENCE, ledger.types.total()
        whole = ledger.report.open_count == 0 and ledger.report.late_causes == 0
        if (whole and ledger.ends.keys() >= tasks.keys()) or loop.time() > until:
            return ledger
        await asyncio.sleep(GLANCE)


async def faults_of(
    world: World, tasks: Mapping[str, str], ended: Mapping[str, Outcome], path: Path
) -> list[str]:
    """Every way in which what happened to `tasks` (id → tool) is not what was promised."""
    ledger = await settled_ledger(world.suite, tasks, path)
    calls = world.crm.calls()
    found = [] if ledger.report.ok else [ledger.report.text()]
    if ledger.report.open_count or ledger.report.late_causes:
        found.append(f"the ledger is not whole: {ledger.report.text()}")
    for task, tool in tasks.items():
        ends, outcome = ledger.ends.get(task, []), ended.get(task)
        wrong = wrong_with(tool, outcome, ends, calls[task])
        found += [f"{task} ({tool}, {outcome and outcome.state}): {one}" for one in wrong]
    return found


def wrong_with(tool: str, outcome: Outcome | None, ends: list[str], calls: int) -> Iterator[str]:
    """What is not as promised, of one task: the gateway's word, the ledger's, the upstream's."""
    if outcome is None or not outcome.state.final:
        yield f"it did not end, the ledger has these ends: {ends}"
        return
    own = [end for end in ends if end in ENDS]
    if len(own) != 1:
        yield f"the ledger has these ends: {ends}"
    elif STATES[own[0]] is not outcome.state and TaskSettled.type not in ends:
        yield f"the ledger says `{own[0]}`"
    if tool == REPEATABLE:
        yield from _lost(outcome, calls)
    elif calls > 1:
        yield f"the upstream was called {calls} times"
    elif calls != CALLS.get(outcome.state, calls):
        yield f"the upstream was called {calls} times: {outcome.code} {outcome.reason}"


def _lost(outcome: Outcome, calls: int) -> Iterator[str]:
    if outcome.state is not TaskState.SUCCEEDED:
        yield f"it may be repeated and was lost: {outcome.code} {outcome.reason}"
    elif calls < 1:
        yield "nobody called the upstream"


def states(ended: Mapping[str, Outcome]) -> str:
    """How many ended how, for the report of a run."""
    counted = Counter(outcome.state.value for outcome in ended.values())
    return ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
