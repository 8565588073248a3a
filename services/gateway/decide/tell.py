"""What clients are told of a task: as a REST document, and as the result of an MCP `tools/call`."""

import json
from collections.abc import Sequence
from typing import Any

import orjson

from interlock.contracts.message import Model
from interlock.contracts.outcomes import (
    Attempt,
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskHeld,
    TaskInputRequired,
    TaskParked,
    TaskSettled,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Task, TaskKind, TaskState
from services.gateway.decide.text import members, raw, with_members
from services.gateway.model import Milestone, Snapshot

TASK_META = "dev.interlock/taskId"
"""In `_meta` of every result of `tools/call`: the task that it is the outcome of."""
STATE_META = "dev.interlock/state"
NOT_FOUND_BEFORE, INVALID_PARAMS = -32002, -32602
"""What a resource that is not there was up to 2025-11-25, and what it is now."""
MISSING_CAPABILITY = -32021
EXACT = ("result", "error", "requests", "entry")
"""Fields of facts that are JSON text already."""


def facts_of(fact: Model) -> dict[str, Any]:
    """What a fact says beside the task's header, ready for `orjson.dumps`."""
    said = fact.model_dump(mode="json", exclude={"task", *EXACT})
    for name in EXACT:
        text = getattr(fact, name, None)
        if text is not None:
            said[name] = raw(text)
    return said


def answers_of(snapshot: Snapshot) -> dict[str, Any]:
    """What was answered so far, by the upstream's own keys."""
    found: dict[str, Any] = orjson.loads("{" + snapshot.answers.rstrip(",") + "}")
    return found


def document(snapshot: Snapshot, url: str, *, whole: bool = True) -> dict[str, Any]:
    """A task as REST shows it, for `orjson.dumps`. What the standing fact says is beside it.

    A list of many leaves their results out: not `whole`.
    """
    task = snapshot.task
    said = {} if snapshot.fact is None else facts_of(snapshot.fact)
    if not whole:
        said.pop("result", None)
    if snapshot.state is TaskState.INPUT_REQUIRED:
        said["answered"] = sorted(answers_of(snapshot))
    return said | {
        "id": task.id,
        "url": url,
        "state": snapshot.state,
        "final": snapshot.final,
        "settled": isinstance(snapshot.fact, TaskSettled),
        "kind": task.kind,
        "server": task.server,
        "tool": task.tool,
        "round": task.round,
        "principal": task.principal.model_dump(mode="json"),
        "request_digest": task.request_digest,
        "deadline": task.deadline,
        "created_at": snapshot.created_at,
        "updated_at": snapshot.updated_at,
    }


def event_name(type_: str) -> str:
    """`task.held` of `interlock.task.held.v1`."""
    return type_.removeprefix("interlock.").rpartition(".")[0]


def milestone(one: Milestone, snapshot: Snapshot) -> bytes:
    """An entry of the log as a server-sent event (WHATWG HTML, §9.2)."""
    fact = one.fact or snapshot.fact
    facts = facts_of(fact) if fact is not None and fact.type == one.type else {}
    data = orjson.dumps({"task_id": snapshot.task.id, "time": one.time, **facts})
    lines = data.replace(b"\r", b" ").replace(b"\n", b" ")  # JSON text may be laid out in lines
    name = event_name(one.type).encode()
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (one.number, name, lines)


# -- MCP ------------------------------------------------------------------------------------------


def tool_result(snapshot: Snapshot, url: str, *, modern: bool) -> str:
    """The result of the `tools/call` that asked for the task, as JSON text.

    An upstream's result is passed on as it came, fields unknown to us too; every other end, and a
    wait that ended before, is a tool error, so that the model that called can read why.
    """
    given = _given(snapshot)
    if given is None:
        given = refusal(sentence(snapshot, url), modern=modern)
    ours = {TASK_META: snapshot.task.id, STATE_META: snapshot.state.value}
    there = members(given)
    kept = json.loads(given[slice(*there["_meta"])]) if "_meta" in there else {}
    added = {"_meta": json.dumps((kept if isinstance(kept, dict) else {}) | ours)}
    if modern and "resultType" not in there:
        added["resultType"] = '"complete"'
    return with_members(given, there, added)


def feature_result(snapshot: Snapshot, *, modern: bool) -> str | None:
    """The result of a read, a prompt or a completion as JSON text; None where there is none.

    Who may read depends on the caller, so no cache that several share may keep it.
    """
    given = _given(snapshot)
    if given is None or not modern:
        return given
    there = members(given)
    added = {} if "resultType" in there else {"resultType": '"complete"'}
    if snapshot.task.kind is TaskKind.READ:
        added["cacheScope"] = '"private"'
        added |= {} if "ttlMs" in there else {"ttlMs": "0"}
    return with_members(given, there, added)


def protocol_error(error: str | None, *, modern: bool) -> dict[str, Any] | None:
    """An upstream's JSON-RPC error in the words of the caller's era; None where that is none."""
    given = {} if error is None else json.loads(error)
    code, message = given.get("code"), given.get("message")
    if not isinstance(code, int) or not isinstance(message, str):
        return None
    told = {"code": code, "message": message}
    if modern and code == NOT_FOUND_BEFORE:
        told["code"] = INVALID_PARAMS
    return told | ({"data": given["data"]} if "data" in given else {})


def lacks_capability(snapshot: Snapshot) -> str | None:
    """The upstream's error where it needs a client that can do more: a client has to see that
    itself, while a model could do nothing about it (MCP 2026-07-28, "Capabilities")."""
    error = snapshot.fact.error if isinstance(snapshot.fact, TaskFailed) else None
    told = protocol_error(error, modern=True)
    return error if told is not None and told["code"] == MISSING_CAPABILITY else None


def refusal(text: str, *, modern: bool, task_id: str | None = None) -> str:
    """A tool error for a call of which no outcome will be told."""
    told: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    if modern:
        told["resultType"] = "complete"
    if task_id is not None:
        told["_meta"] = {TASK_META: task_id}
    return orjson.dumps(told).decode()


def _given(snapshot: Snapshot) -> str | None:
    fact = snapshot.fact
    text = fact.result if isinstance(fact, TaskSucceeded | TaskSettled) else None
    return text if text is not None and text.lstrip().startswith("{") else None


def sentence(snapshot: Snapshot, url: str) -> str:
    """How the call ended, or where it stands, in a sentence or two for people and models."""
    task, fact = snapshot.task, snapshot.fact
    what = _what(task)
    match fact:
        case TaskDenied():
            told = f"{what} was denied (`{fact.code}`): {fact.reason}{_denial(fact)}"
        case TaskFailed():
            told = f"{what} failed (`{fact.code}`): {fact.reason}{_attempts(fact.attempts)}"
            told += f"; the server said {fact.error}" if fact.error else ""
        case TaskUnknown():
            told = (
                f"the outcome of {what} is unknown (`{fact.code}`): {fact.reason}; it may have had "
                f"its effect and is not repeated{_attempts(fact.attempts)}"
            )
        case TaskCancelled():
            told = f"{what} was cancelled by `{fact.by.label}`" + _because(fact.reason)
        case TaskSettled():
            told = f"{what} {fact.outcome}, says `{fact.by.label}`" + _because(fact.reason)
        case _:
            return f"{_pending(snapshot, what)}; it goes on: {_see(task, url)}"
    return f"{told} (task `{task.id}`)"


def _what(task: Task) -> str:
    if task.kind is TaskKind.CALL:
        return f"the call of tool `{task.tool}` of server `{task.server}`"
    return f"the `{task.kind}` of server `{task.server}`"


def _pending(snapshot: Snapshot, what: str) -> str:
    match snapshot.fact:
        case TaskHeld() as held:
            roles = ", ".join(f"`{role}`" for role in held.approvers)
            by = f" by one of the roles {roles}" if roles else ""
            until = held.expires_at.isoformat(timespec="seconds")
            return f"{what} waits for a person's approval{by} until `{until}`: {held.reason}"
        case TaskParked() as parked:
            return f"{what} is parked and waits for an operator: {parked.reason}"
        case TaskInputRequired():
            return f"{what} waits for input"
    waits = "is still running" if snapshot.state is TaskState.RUNNING else "has not started yet"
    return f"{what} {waits}"


def _see(task: Task, url: str) -> str:
    return f"see task `{task.id}` at {url}"


def _denial(denied: TaskDenied) -> str:
    told = ""
    if denied.missing:
        told += f"; missing permissions: {_names(denied.missing)}"
    if denied.because:
        told += f"; policies: {_names(denied.because)}"
    return told


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _attempts(attempts: Sequence[Attempt]) -> str:
    """The attempts, one after another; nothing where there was none."""
    told = [
        f"attempt {one.number}: `{one.outcome}` after {one.seconds:.2f} s"
        + (f" ({one.detail})" if one.detail else "")
        for one in attempts
    ]
    return f"; {'; '.join(told)}" if told else ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
