"""How a task comes in and travels on: submitted, authenticated, authorized, controlled."""

from datetime import datetime

from pydantic import Field

from interlock.contracts.ids import AgentName, PolicyId, ServerName, TenantId, ToolName
from interlock.contracts.message import Fact
from interlock.contracts.task import NO_CLIENT, Client, Principal, TaskFact, TaskKind
from interlock.contracts.topics import Topic

WHERE_THERE_IS_ONE: Client = Field(NO_CLIENT, exclude_if=lambda client: client is NO_CLIENT)
"""Not said where it is `NO_CLIENT`: five services read what would be the same each time."""


class TaskSubmitted(Fact):
    """An agent on the bus asks for work. Nothing in it is believed before `statement` is verified.

    `statement` is a JWS (EdDSA) by the agent's registered key over
    `{client_ref, request_digest, aud, iat, deadline}` and, for a user, `delegation`: auth's own
    statement that this key may act for that user.
    """

    type = "interlock.task.submitted.v1"
    topic = Topic.TASK_SUBMITTED

    tenant: TenantId
    agent: AgentName
    client_ref: str
    kind: TaskKind
    server: ServerName
    tool: ToolName | None = None
    arguments: str
    deadline: datetime
    statement: str
    delegation: str | None = None

    @property
    def tenant_id(self) -> str:
        return self.tenant

    @property
    def subject(self) -> str:
        return self.client_ref


class TaskAuthenticated(TaskFact):
    """Who asks is proven: `identity` is a JWS by the door that checked (DESIGN §6).

    In round 0 this is the request; each input given to the task is the next round, and brings the
    request's arguments along. `arguments` and `given` are the exact JSON text that
    `task.request_digest` covers.
    """

    type = "interlock.task.authenticated.v1"
    topic = Topic.TASK_AUTHENTICATED

    arguments: str
    identity: str
    given: str | None = None
    """The input of a later round: a JSON object of answers by the keys of what was asked for (MCP
    2026-07-28, `inputResponses`). None in round 0."""
    client: Client = WHERE_THERE_IS_ONE


class CallAuthorized(TaskFact):
    """The task may run: `grant` is policy's JWS for exactly this task and round (DESIGN §6)."""

    type = "interlock.task.authorized.v1"
    topic = Topic.TASK_AUTHORIZED_CALL

    arguments: str
    grant: str
    given: str | None = None
    """As in `TaskAuthenticated`."""
    client: Client = WHERE_THERE_IS_ONE


class InputDenied(TaskFact):
    """A later round of an authorized task may not run: its next authority must end it as denied.

    Its members are those of `TaskDenied`.
    """

    type = "interlock.task.input_denied.v1"
    topic = Topic.TASK_AUTHORIZED_CALL

    code: str
    reason: str
    because: tuple[PolicyId, ...] = ()
    missing: tuple[str, ...] = ()
    policy_version: int
    decision_id: str
    by: Principal | None = None


class AuthorizationExpired(TaskFact):
    """The deadline of an authorized task passed; its next authority must end it."""

    type = "interlock.task.authorization_expired.v1"
    topic = Topic.TASK_AUTHORIZED_CALL


class CancelRequested(TaskFact):
    """Somebody who may do so wants the task to stop."""

    type = "interlock.task.cancel_requested.v1"
    topic = Topic.TASK_CONTROL

    by: Principal
    reason: str = ""


class DeadlinePassed(TaskFact):
    """The gateway's snapshot has no end 60 s after the deadline: whoever holds the task ends it."""

    type = "interlock.task.deadline_passed.v1"
    topic = Topic.TASK_CONTROL
