"""Every rule of invocation, as functions of their arguments."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from interlock.contracts.catalogue import Connection, ServerRecord
from interlock.contracts.outcomes import (
    Attempt,
    Settlement,
    TaskCancelled,
    TaskFailed,
    TaskSettled,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind
from services.invocation.model import (
    CALL,
    Again,
    Call,
    Control,
    How,
    Job,
    Key,
    Lease,
    Limits,
    Outcome,
    Target,
    Terms,
    Try,
    Unfit,
    Upstream,
    World,
)

INSPECT_SECONDS = 30.0
"""How long a look at an upstream may take."""
FEATURE_SECONDS = 30.0
"""How long a read, a prompt or a completion may take."""
METHODS = {
    TaskKind.READ: "resources/read",
    TaskKind.PROMPT: "prompts/get",
    TaskKind.COMPLETE: "completion/complete",
}
_CONNECTION: TypeAdapter[Connection] = TypeAdapter(Connection)


def look(job: Job, world: World, now: datetime) -> Call | Unfit:
    """What to call, or why the task may not run (any more).

    The grant was true when it was signed; this is what has changed since.
    """
    left = (job.task.deadline - now).total_seconds()
    if left <= 0:
        return expired(job.task)
    if stopped := _revoked(job, world):
        return stopped
    if job.task.kind is TaskKind.INSPECT:
        return _inspection(job, left)
    if job.task.kind is TaskKind.CALL:
        return _tool(job, world.server, left)
    if job.task.kind in METHODS:
        return _feature(job, world.server, left)
    return Unfit("unsupported", f"tasks of kind `{job.task.kind}` cannot be executed here")


def _tool(job: Job, server: ServerRecord | None, left: float) -> Call | Unfit:
    task = job.task
    if server is None or not server.lifecycle.callable:
        return _not_callable(task, server)
    tool = server.tool(task.tool)
    if tool is None:
        return Unfit("stale", f"server `{task.server}` does not offer `{task.tool}` any more")
    if tool.digest != job.tool_digest:
        return Unfit("stale", f"tool `{task.tool}` changed since it was granted; ask again")
    timeout = min(tool.timeout_seconds, left)
    target = Target(CALL, tool.name)
    return _call(Call(server.connection, timeout, tool.repeatable, tool.definition, target), task)


def _feature(job: Job, server: ServerRecord | None, left: float) -> Call | Unfit:
    """A read, a prompt or a completion: by MCP none of them changes anything."""
    task = job.task
    if server is None or not server.lifecycle.callable:
        return _not_callable(task, server)
    name = _feature_name(task.kind, job.arguments)
    if name is None:
        return Unfit("bad_arguments", f"the arguments do not say what to `{task.kind}`")
    target = Target(METHODS[task.kind], name)
    timeout = min(FEATURE_SECONDS, left)
    return _call(Call(server.connection, timeout, repeatable=True, target=target), task)


def _feature_name(kind: TaskKind, arguments: str) -> str | None:
    """What the request names for routing (MCP 2026-07-28, `Mcp-Name`); None where it must."""
    given = json.loads(arguments)
    if kind is TaskKind.COMPLETE:
        return ""
    name = given.get("uri" if kind is TaskKind.READ else "name")
    return name if isinstance(name, str) and name else None


def _not_callable(task: Task, server: ServerRecord | None) -> Unfit:
    state = f"`{server.lifecycle}`" if server is not None else "not in the catalogue"
    return Unfit("stale", f"server `{task.server}` is {state} now, so it cannot be called")


def _inspection(job: Job, left: float) -> Call | Unfit:
    try:
        connection = _CONNECTION.validate_json(job.arguments)
    except ValidationError:
        return Unfit("bad_arguments", "the arguments of an `inspect` task are no connection")
    return _call(Call(connection, min(INSPECT_SECONDS, left), repeatable=True), job.task)


def _call(call: Call, task: Task) -> Call | Unfit:
    credential = getattr(call.connection, "credential", None)
    if credential is not None:
        return Unfit(
            "no_credential",
            f"server `{task.server}` needs the credential `{credential}`, and there is no secret "
            "store to fetch it from",
        )
    return call


def _revoked(job: Job, world: World) -> Unfit | None:
    """The kill switch: whoever asked may have lost the right to since the task was accepted."""
    who = job.task.principal
    if who.kind is PrincipalKind.AGENT and (world.agent is None or not world.agent.enabled):
        return Unfit("stale", f"agent `{who.name}` is disabled")
    own = "agent" if who.kind is PrincipalKind.AGENT else "user"
    for kind, name in ((own, who.name), ("user", who.user)):
        found = world.revocations.get(f"{kind}:{name}")
        if found is not None and found.not_before > job.accepted_at:
            return Unfit("stale", f"{kind} `{name}` lost access after the task was accepted")
    return None


def repeatable(job: Job, world: World) -> bool:
    """Whether a second call of what was granted is safe. In doubt it is not."""
    if job.task.kind is not TaskKind.CALL:
        return True
    tool = world.server.tool(job.task.tool) if world.server is not None else None
    return tool is not None and tool.digest == job.tool_digest and tool.repeatable


def expired(task: Task) -> Unfit:
    """Why a task past its deadline does not run."""
    return Unfit("expired", f"the deadline `{task.deadline.isoformat()}` passed before it ran")


def failed(task: Task, why: Unfit, attempts: tuple[Attempt, ...] = ()) -> TaskFailed:
    """The end of a task that may not run."""
    return TaskFailed(task=task, code=why.code, reason=why.reason, attempts=attempts)


def bounded(tried: Try, limits: Limits) -> Try:
    """An answer that is too large to travel becomes an error that says so."""
    size = len((tried.result or tried.error or "").encode())
    if size <= limits.result_bytes:
        return tried
    return Try(
        How.ERROR,
        f"the upstream answered with `{size}` bytes, more than the `{limits.result_bytes}` that "
        "can be delivered; it did execute the call",
        code="too_large",
    )


def after(job: Job, tried: Try, seconds: float, terms: Terms, now: datetime) -> Outcome | Again:
    """What follows from an attempt that ended: the task's end, or another attempt."""
    this = Attempt(
        number=job.attempt,
        started_at=job.claimed_at,
        seconds=round(seconds, 6),
        outcome=tried.how.value,
        detail=tried.detail,
    )
    attempts = (*job.attempts, this)
    if tried.how is How.ANSWERED:
        return TaskSucceeded(
            task=job.task, result=tried.result or "null", is_error=tried.is_error, attempts=attempts
        )
    if tried.how is How.ERROR:
        return TaskFailed(
            task=job.task,
            code=tried.code,
            reason=tried.detail,
            error=tried.error,
            attempts=attempts,
        )
    safe = terms.repeatable or tried.how is How.NOT_SENT
    if terms.control is not None:
        return _stopped(job, terms.control, attempts, safe)
    if not safe:
        return TaskUnknown(
            task=job.task,
            code="lost",
            reason=f"the call may or may not have had its effect: {tried.detail}",
            attempts=attempts,
        )
    at = now + timedelta(seconds=max(terms.pause, tried.retry_after))
    if job.attempt < terms.most_attempts and at < job.task.deadline:
        return Again(at, attempts)
    return _given_up(job, tried, attempts, now)


def _stopped(
    job: Job, control: Control, attempts: tuple[Attempt, ...], safe: bool
) -> TaskCancelled | TaskUnknown:
    if safe:
        return TaskCancelled(task=job.task, by=control.by, reason=control.reason, attempts=attempts)
    return TaskUnknown(
        task=job.task,
        code="cancel_unconfirmed",
        reason=f"`{control.by.label}` cancelled the call while it ran, and the upstream did not "
        "say whether it had its effect",
        attempts=attempts,
    )


def _given_up(job: Job, tried: Try, attempts: tuple[Attempt, ...], now: datetime) -> TaskFailed:
    late = now >= job.task.deadline
    return TaskFailed(
        task=job.task,
        code="expired" if late else "unreachable",
        reason=f"server `{job.task.server}` gave no answer in `{len(attempts)}` attempts"
        + (" before the deadline" if late else "")
        + f": {tried.detail}",
        attempts=attempts,
    )


def settlement(task: Task, tried: Try, by: Principal) -> TaskSettled | None:
    """What a late answer of a lost lease says about a task that was given up as unknown."""
    if tried.how is How.LOST:
        return None
    succeeded = tried.how is How.ANSWERED
    return TaskSettled(
        task=task,
        outcome=Settlement.SUCCEEDED if succeeded else Settlement.FAILED,
        by=by,
        reason="the answer came late" if succeeded else tried.detail,
        result=tried.result,
    )


def pause(attempt: int, chance: float, limits: Limits) -> float:
    """Seconds before the attempt after `attempt`: exponential, half of it jitter.

    `chance` is uniform in [0, 1).
    """
    full = min(limits.longest_pause, limits.first_pause * 2.0 ** (attempt - 1))
    return full * (0.5 + 0.5 * chance)


def choose(
    waiting: Sequence[tuple[Key, Upstream]], room: Mapping[Upstream, int], otherwise: int
) -> list[Key]:
    """Which rows to claim, oldest first: of each upstream as many as it has room for.

    `otherwise` is the room of an upstream that `room` does not name.
    """
    left = dict(room)
    chosen = []
    for key, upstream in waiting:
        free = left.get(upstream, otherwise)
        if free > 0:
            left[upstream] = free - 1
            chosen.append(key)
    return chosen


@dataclass(frozen=True)
class Pulse:
    """A lease as an observer last saw it move."""

    beat: int | None
    since: float
    """The observer's own monotonic clock, in seconds."""


def watch(
    seen: Mapping[Lease, Pulse], beats: Mapping[Lease, int | None], clock: float
) -> dict[Lease, Pulse]:
    """What is known after another look: leases that moved, or are new, begin anew."""
    return {
        lease: seen[lease] if lease in seen and seen[lease].beat == beat else Pulse(beat, clock)
        for lease, beat in beats.items()
    }


def dead(seen: Mapping[Lease, Pulse], clock: float, limits: Limits) -> list[Lease]:
    """Leases whose holder has not moved for `lease_seconds`."""
    return [lease for lease, pulse in seen.items() if clock - pulse.since >= limits.lease_seconds]
