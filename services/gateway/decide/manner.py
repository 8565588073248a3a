"""How a client is answered: with a result, with a task, or with what its call asks of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from interlock.contracts.catalogue import Execution, ToolRecord
from interlock.contracts.outcomes import TaskInputRequired
from interlock.contracts.task import NO_CLIENT, Client, TaskState
from services.gateway.decide.tell import MISSING_CAPABILITY
from services.gateway.model import Means, Snapshot

TASKS = "io.modelcontextprotocol/tasks"
"""The tasks extension (SEP-2663)."""
ASKS = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""What a client declares that can be asked so (MCP 2026-07-28, "Multi Round-Trip Requests")."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Manner:
    """How one request is answered."""

    client: Client = NO_CLIENT
    execution: Execution | None = None
    """Of the tool, where its client knows tasks."""
    inline: float = 0.0
    """Seconds after which a `sync` call becomes a task."""
    pushes: bool = False
    """The client is asked while its request goes on."""

    def patience(self, snapshot: Snapshot) -> float:
        """How many seconds from its beginning such a request may wait for a task that stands so."""
        if snapshot.state is TaskState.INPUT_REQUIRED:
            return NEVER if self.may_push(snapshot) else 0.0
        if self.execution is None:
            return NEVER
        first = self.execution is Execution.MRTR_FIRST and snapshot.task.round == 0
        if not (first or self.execution is Execution.SYNC):
            return 0.0
        return 0.0 if snapshot.state in (TaskState.HELD, TaskState.PARKED) else self.inline

    def may_push(self, snapshot: Snapshot) -> bool:
        """Whether the client can be asked all that the task asks, while it waits."""
        return self.pushes and not undeclared(asked_of(snapshot), self.client)

    def becomes_task(self, snapshot: Snapshot) -> bool:
        """Whether the answer to a request whose task stands so is that task."""
        match self.execution:
            case None:
                return False
            case Execution.TASK | Execution.TASK_REQUIRED:
                return True
            case Execution.MRTR_FIRST if snapshot.task.round:
                return True
        return not (snapshot.final or snapshot.state is TaskState.INPUT_REQUIRED)


SYNCHRONOUS = Manner()


def knows_tasks(capabilities: Mapping[str, Any]) -> bool:
    """Whether a client declares the tasks extension."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and isinstance(extensions.get(TASKS), dict)


def manner_of(tool: ToolRecord, means: Means, inline: float) -> Manner:
    """How a call of the tool is answered to that client. `inline`: where the tool says nothing."""
    client = means.client
    execution = tool.execution if knows_tasks(orjson.loads(client.capabilities)) else None
    window = inline if tool.inline_seconds is None else tool.inline_seconds
    return Manner(client, execution, window, means.pushes)


def asked_of(snapshot: Snapshot) -> dict[str, Any]:
    """What the upstream asks, by key, whether it was answered or not; nothing where it does not."""
    fact = snapshot.fact
    if snapshot.state is not TaskState.INPUT_REQUIRED or not isinstance(fact, TaskInputRequired):
        return {}
    found: dict[str, Any] = orjson.loads(fact.requests)
    return found


def undeclared(requests: Mapping[str, Any], client: Client) -> dict[str, Any]:
    """The capabilities that the client would need, beside what it declared, to be asked so."""
    declared = orjson.loads(client.capabilities)
    needed = {ASKS.get(str(one.get("method")), "experimental") for one in requests.values()}
    return {name: {} for name in sorted(needed) if not isinstance(declared.get(name), dict)}


def missing(capabilities: Mapping[str, Any]) -> str:
    """The error of JSON-RPC for a client that lacks them, as JSON text."""
    names = ", ".join(
        sorted({*capabilities} - {"extensions"} | {*capabilities.get("extensions", ())})
    )
    told = {
        "code": MISSING_CAPABILITY,
        "message": f"this needs a client that declares {names}",
        "data": {"requiredCapabilities": capabilities},
    }
    return orjson.dumps(told).decode()


NEEDS_TASKS = missing({"extensions": {TASKS: {}}})
