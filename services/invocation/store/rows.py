"""Between rows of the journal and the nouns of the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlalchemy import Row

from interlock.bus import Raw
from interlock.contracts.ids import Digest, EventId, TaskId
from interlock.contracts.outcomes import Attempt
from interlock.contracts.requests import InputDenied
from interlock.contracts.task import NO_CLIENT, Client, Principal, Task, TaskState
from interlock.contracts.topics import Topic
from services.invocation.model import Control, Job, Key, Lease, State, Upstream


class JobRow(NamedTuple):
    """The columns of a row that make a job."""

    tenant: str
    task_id: str
    owner: str | None
    fence: int
    header: str
    arguments: str | None
    tool_digest: Digest | None
    cause: EventId | None
    traceparent: str | None
    attempt: int
    attempts: str
    not_before: datetime
    accepted_at: datetime
    claimed_at: datetime | None
    client: str | None
    given: str | None
    request_state: str | None


AnyRow = Row[*tuple[Any, ...]]
_ATTEMPTS = TypeAdapter(tuple[Attempt, ...])


class _Control(BaseModel):
    model_config = ConfigDict(frozen=True)

    by: Principal
    reason: str
    denied: InputDenied | None = None


@dataclass(frozen=True)
class Entry:
    """A row to be: of an authorized task, or (without arguments) of one that shall never run."""

    task: Task
    at: datetime
    arguments: str | None = None
    tool_digest: Digest | None = None
    cause: EventId | None = None
    traceparent: str | None = None
    client: Client = NO_CLIENT
    owner: str | None = None
    """Who claims it in the same transaction."""
    ended_as: TaskState | None = None
    outcome: Raw | None = None
    """How it ended before it began; its caller sees to it that it goes out."""
    control: Control | None = None
    """What is left in the row if somebody executes it already."""

    @property
    def key(self) -> Key:
        return self.task.tenant, self.task.id

    @property
    def upstream(self) -> Upstream:
        return self.task.tenant, self.task.server


@dataclass(frozen=True)
class Known:
    """A row that was there already."""

    job: Job
    state: State
    round: int
    digest: str
    told: tuple[Raw, ...]
    """Its outcome, and its settlement."""
    ended_as: TaskState | None

    def differs(self, task: Task) -> bool:
        """Whether `task` is another request under the same id."""
        return self.round == task.round and self.digest != task.request_digest


def values(entry: Entry) -> dict[str, Any]:
    """The columns of a new row."""
    state = State.READY
    if entry.outcome is not None:
        state = State.ENDED
    elif entry.owner is not None:
        state = State.CLAIMED
    claimed = state is State.CLAIMED
    return {
        "tenant": entry.task.tenant,
        "task_id": entry.task.id,
        "server": entry.task.server,
        "header": entry.task.model_dump_json(),
        "round": entry.task.round,
        "digest": entry.task.request_digest,
        "arguments": entry.arguments,
        "client": client_text(entry.client),
        "tool_digest": entry.tool_digest,
        "cause": entry.cause,
        "traceparent": entry.traceparent,
        "state": state.value,
        "owner": entry.owner if claimed else None,
        "fence": int(claimed),
        "attempt": int(claimed),
        "attempts": "[]",
        "not_before": entry.at,
        "deadline": entry.task.deadline,
        "accepted_at": entry.at,
        "claimed_at": entry.at if claimed else None,
        "ended_at": entry.at if entry.outcome else None,
        "ended_as": entry.ended_as.value if entry.ended_as else None,
        "published_at": entry.at if entry.outcome else None,
        **outcome_columns("outcome", entry.outcome),
    }


def outcome_columns(name: str, raw: Raw | None) -> dict[str, Any]:
    """The columns that keep a message exactly."""
    return {
        f"{name}_attributes": dict(raw.attributes) if raw else None,
        f"{name}_body": raw.body if raw else None,
    }


def claimed_job(entry: Entry) -> Job:
    """What `entry` is to whoever claimed it when it was accepted."""
    return Job(
        task=entry.task,
        arguments=entry.arguments or "",
        tool_digest=entry.tool_digest,
        cause=entry.cause,
        traceparent=entry.traceparent,
        lease=Lease(entry.task.tenant, entry.task.id, entry.owner, 1),
        attempt=1,
        attempts=(),
        accepted_at=entry.at,
        claimed_at=entry.at,
        client=entry.client,
    )


def job_of(row: AnyRow | JobRow) -> Job:
    """The job in a row, with the lease that the row names."""
    return Job(
        task=Task.model_validate_json(row.header),
        arguments=row.arguments or "",
        tool_digest=row.tool_digest,
        cause=row.cause,
        traceparent=row.traceparent,
        lease=lease_of(row),
        attempt=row.attempt,
        attempts=attempts_of(row.attempts),
        accepted_at=row.accepted_at,
        claimed_at=row.claimed_at or row.accepted_at,
        client=client_of(row.client),
        given=row.given,
        request_state=row.request_state,
    )


def lease_of(row: AnyRow | JobRow) -> Lease:
    return Lease(row.tenant, TaskId(row.task_id), row.owner, row.fence)


def known(row: AnyRow) -> Known:
    """A whole row."""
    return Known(
        job=job_of(row),
        state=State(row.state),
        round=row.round,
        digest=row.digest,
        told=told(row),
        ended_as=TaskState(row.ended_as) if row.ended_as else None,
    )


def told(row: AnyRow) -> tuple[Raw, ...]:
    """What a row has to say: its outcome, then its settlement."""
    kept = (
        (row.outcome_attributes, row.outcome_body),
        (row.settlement_attributes, row.settlement_body),
    )
    return tuple(
        Raw(Topic.TASK_EVENTS, attributes, body) for attributes, body in kept if attributes
    )


def attempts_of(text: str) -> tuple[Attempt, ...]:
    return () if text == "[]" else _ATTEMPTS.validate_json(text)


def attempts_text(attempts: Sequence[Attempt]) -> str:
    return _ATTEMPTS.dump_json(tuple(attempts)).decode()


def control_of(text: str | None) -> Control | None:
    if text is None:
        return None
    read = _Control.model_validate_json(text)
    return Control(read.by, read.reason, read.denied)


def control_text(control: Control) -> str:
    kept = _Control(by=control.by, reason=control.reason, denied=control.denied)
    return kept.model_dump_json()


def client_of(text: str | None) -> Client:
    return NO_CLIENT if text is None else Client.model_validate_json(text)


def client_text(client: Client) -> str | None:
    return None if client == NO_CLIENT else client.model_dump_json()
