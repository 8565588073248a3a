"""A task as the tasks extension shows it (`io.modelcontextprotocol/tasks`, SEP-2663)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from interlock.contracts.outcomes import TaskFailed, TaskProgressed
from interlock.contracts.task import TaskState
from services.gateway.decide.manner import asked_of
from services.gateway.decide.tell import (
    STATE_META,
    TASK_META,
    answers_of,
    protocol_error,
    sentence,
    tool_result,
)
from services.gateway.decide.text import raw
from services.gateway.model import Snapshot

POLL_MS = 1000


def status_of(snapshot: Snapshot) -> str:
    """Its status there. Held, parked and unknown are told in `statusMessage` and `_meta`."""
    if snapshot.state is TaskState.CANCELLED:
        return "cancelled"
    if snapshot.final:
        return "completed" if _error_of(snapshot) is None else "failed"
    return "input_required" if outstanding(snapshot) else "working"


def created(snapshot: Snapshot, url: str, keep: timedelta) -> str:
    """`CreateTaskResult` as JSON text."""
    told = {"resultType": "task"} | _task(snapshot, url, keep)
    return orjson.dumps(told).decode()


def detailed(snapshot: Snapshot, url: str, keep: timedelta) -> dict[str, Any]:
    """`DetailedTask`, for `orjson.dumps`: what it asks, its result, or its error is in it."""
    told = _task(snapshot, url, keep)
    match told["status"]:
        case "input_required":
            told["inputRequests"] = outstanding(snapshot)
        case "completed":
            told["result"] = raw(tool_result(snapshot, url, modern=True))
        case "failed":
            told["error"] = _error_of(snapshot)
    return told


def outstanding(snapshot: Snapshot) -> dict[str, Any]:
    """What is asked and not answered yet, by keys that the task never uses twice."""
    there = answers_of(snapshot)
    round_ = snapshot.task.round
    return {key_of(key, round_): one for key, one in asked_of(snapshot).items() if key not in there}


def key_of(key: str, round_: int) -> str:
    """A round's key among those of all rounds."""
    return f"{key}#{round_}"


def _task(snapshot: Snapshot, url: str, keep: timedelta) -> dict[str, Any]:
    """`Task`. Its time to live grows with it: after its end it is kept for `keep`."""
    lived = max(snapshot.updated_at - snapshot.created_at, timedelta())
    told: dict[str, Any] = {
        "taskId": snapshot.task.id,
        "status": status_of(snapshot),
        "createdAt": _moment(snapshot.created_at),
        "lastUpdatedAt": _moment(max(snapshot.updated_at, snapshot.created_at)),
        "ttlMs": int((lived + keep).total_seconds() * 1000),
        "pollIntervalMs": POLL_MS,
        "_meta": {TASK_META: snapshot.task.id, STATE_META: snapshot.state.value},
    }
    message = _message(snapshot, url)
    return told | ({"statusMessage": message} if message else {})


def _message(snapshot: Snapshot, url: str) -> str:
    fact = snapshot.fact
    if isinstance(fact, TaskProgressed) and not snapshot.final:
        of = "" if fact.total is None else f"/{fact.total:g}"
        number = "" if fact.progress is None else f"{fact.progress:g}{of}"
        return f"{fact.message} ({number})" if fact.message and number else fact.message or number
    return "" if snapshot.state is TaskState.SUCCEEDED else sentence(snapshot, url)


def _error_of(snapshot: Snapshot) -> dict[str, Any] | None:
    fact = snapshot.fact
    return protocol_error(fact.error, modern=True) if isinstance(fact, TaskFailed) else None


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
