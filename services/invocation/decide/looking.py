"""What an authorized task is to call, or why it may not run any more."""

import json
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from interlock.contracts.catalogue import Connection, ServerRecord
from interlock.contracts.outcomes import Attempt, TaskFailed
from interlock.contracts.task import PrincipalKind, Task, TaskKind
from services.invocation.decide.asking import unanswered
from services.invocation.model import CALL, Call, Job, Target, Unfit, World

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
    if stopped := _revoked(job, world) or unanswered(job.given):
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
    for kind, name in ((own, who.name), ("user", who.user), ("tenant", who.tenant)):
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
    return TaskFailed(
        task=task, code=why.code, reason=why.reason, error=why.error, attempts=attempts
    )
