"""The task: its nouns, and its header that every task event carries."""

from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from pydantic import Field

from interlock.contracts.ids import Digest, ServerName, TaskId, TenantId, ToolName
from interlock.contracts.message import Fact, Model
from interlock.contracts.topics import Topic


class TaskKind(StrEnum):
    """What is asked for."""

    CALL = "call"
    READ = "read"
    PROMPT = "prompt"
    COMPLETE = "complete"
    INSPECT = "inspect"
    DELEGATE = "delegate"


class PrincipalKind(StrEnum):
    """What acts."""

    AGENT = "agent"
    PERSON = "person"
    SERVICE = "service"


class TaskState(StrEnum):
    """What a client sees of a task (DESIGN §1)."""

    ACCEPTING = "accepting"
    SUBMITTED = "submitted"
    PARKED = "parked"
    HELD = "held"
    RUNNING = "running"
    INPUT_REQUIRED = "input_required"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether it ends the task. `unknown` does, and may still be settled."""
        return self in FINAL


FINAL = frozenset(
    {
        TaskState.SUCCEEDED,
        TaskState.FAILED,
        TaskState.DENIED,
        TaskState.CANCELLED,
        TaskState.UNKNOWN,
    }
)


class Principal(Model):
    """Who acts, and the user it acts for where there is one."""

    tenant: TenantId
    kind: PrincipalKind
    name: str = Field(min_length=1, max_length=255)
    user: str | None = None

    @property
    def label(self) -> str:
        """For people and logs: `agent:sales-copilot for ana`."""
        return f"{self.kind}:{self.name}" + (f" for {self.user}" if self.user else "")


class Task(Model):
    """A task's header."""

    id: TaskId
    principal: Principal
    kind: TaskKind
    server: ServerName
    tool: ToolName | None = None
    request_digest: Digest
    deadline: datetime
    round: int = 0

    @property
    def tenant(self) -> TenantId:
        return self.principal.tenant


class Client(Model):
    """What a caller's MCP client said of itself with its request, for the upstream to know.

    It gives no right. An upstream must not ask for what the client did not declare (MCP
    2026-07-28, "Capabilities").
    """

    capabilities: str = "{}"
    """`ClientCapabilities`, exact JSON text of an object."""
    log_level: str | None = None
    """The least severe log message (RFC 5424) that it wants to be told; None: none at all."""


NO_CLIENT = Client()
"""Nobody who could be asked for anything while the task runs."""


def digest_of(text: str | bytes) -> Digest:
    """SHA-256 of exactly these bytes."""
    return Digest(sha256(text.encode() if isinstance(text, str) else text).hexdigest())


def request_digest(
    kind: TaskKind, server: str, tool: str | None, arguments: str, given: str | None = None
) -> Digest:
    """What a request is: its kind, its target, the exact JSON text of its arguments and, in a
    later round, of the input that was given.

    Each part is length-prefixed (UTF-8 bytes), so no two requests share an encoding.
    """
    parts = [part.encode() for part in (kind, server, tool or "", arguments)]
    if given is not None:
        parts.append(given.encode())
    return Digest(sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest())


class TaskFact(Fact):
    """Any fact about one task."""

    task: Task

    @property
    def tenant_id(self) -> str:
        return self.task.tenant

    @property
    def subject(self) -> str:
        return self.task.id


class TaskEvent(TaskFact):
    """A fact on `task.events`."""

    topic = Topic.TASK_EVENTS
