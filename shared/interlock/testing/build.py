"""Messages with sensible defaults, so that a test names only what it is about."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from interlock.bus import Envelope, Keyring, Raw, Stamp
from interlock.bus.wire import read
from interlock.contracts import changes, outcomes, requests
from interlock.contracts.catalogue import Lifecycle
from interlock.contracts.ids import EventId, PolicyId, TaskId, derived
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import Attempt
from interlock.contracts.task import (
    Principal,
    PrincipalKind,
    Task,
    TaskKind,
    digest_of,
    request_digest,
)

F = TypeVar("F", bound=Fact)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEYRING = Keyring({"test": b"a key that only tests know, 32 b."})
ARGUMENTS = '{"query":"acme"}'
ASKED = '{"sure":{"method":"elicitation/create","params":{"message":"sure?"}}}'


def noon() -> datetime:
    """A clock that stands still."""
    return NOON


def principal(
    name: str = "sales-copilot",
    kind: PrincipalKind = PrincipalKind.AGENT,
    *,
    user: str | None = None,
    tenant: str = "acme",
) -> Principal:
    """An agent of tenant `acme`."""
    return Principal(tenant=tenant, kind=kind, name=name, user=user)


def person(name: str = "ana", tenant: str = "acme") -> Principal:
    """A person of tenant `acme`."""
    return principal(name, PrincipalKind.PERSON, tenant=tenant)


def task(task_id: str = "task-1", **changed: object) -> Task:
    """A call of `crm`'s `search_opportunities` with `ARGUMENTS`, due an hour after noon."""
    task = Task(
        id=TaskId(task_id),
        principal=principal(),
        kind=TaskKind.CALL,
        server="crm",
        tool="search_opportunities",
        request_digest=request_digest(TaskKind.CALL, "crm", "search_opportunities", ARGUMENTS),
        deadline=NOON + timedelta(hours=1),
    )
    return task.model_copy(update=changed)


def _task(of: Task | str) -> Task:
    return task(of) if isinstance(of, str) else of


def submitted(client_ref: str = "ref-1") -> requests.TaskSubmitted:
    return requests.TaskSubmitted(
        tenant="acme",
        agent="sales-copilot",
        client_ref=client_ref,
        kind=TaskKind.CALL,
        server="crm",
        tool="search_opportunities",
        arguments=ARGUMENTS,
        deadline=NOON + timedelta(hours=1),
        statement="signed-by-nobody",
    )


def authenticated(
    of: Task | str = "task-1", arguments: str = ARGUMENTS, identity: str = "signed-by-nobody"
) -> requests.TaskAuthenticated:
    return requests.TaskAuthenticated(task=_task(of), arguments=arguments, identity=identity)


def authorized(
    of: Task | str = "task-1", arguments: str = ARGUMENTS, grant: str = "signed-by-nobody"
) -> requests.CallAuthorized:
    return requests.CallAuthorized(task=_task(of), arguments=arguments, grant=grant)


def input_denied(of: Task | str = "task-1") -> requests.InputDenied:
    return requests.InputDenied(
        task=_task(of),
        code="denied",
        reason="the amount is too high",
        because=(PolicyId("no-large-amounts"),),
        policy_version=1,
        decision_id="decision-1",
    )


def cancel_requested(of: Task | str = "task-1") -> requests.CancelRequested:
    return requests.CancelRequested(task=_task(of), by=person(), reason="no longer needed")


def deadline_passed(of: Task | str = "task-1") -> requests.DeadlinePassed:
    return requests.DeadlinePassed(task=_task(of))


def accepted(of: Task | str = "task-1", submission: str = "event-1") -> outcomes.TaskAccepted:
    return outcomes.TaskAccepted(
        task=_task(of), submission_id=EventId(submission), submission_digest=digest_of(b"")
    )


def denied(
    of: Task | str = "task-1", code: str = "denied", because: Sequence[str] = ("no-exports",)
) -> outcomes.TaskDenied:
    return outcomes.TaskDenied(
        task=_task(of),
        code=code,
        reason="`sales-copilot` lacks permission `crm:export`",
        because=tuple(map(PolicyId, because)),
        policy_version=1,
        decision_id="decision-1",
    )


def held(of: Task | str = "task-1") -> outcomes.TaskHeld:
    return outcomes.TaskHeld(
        task=_task(of),
        reason="a discount needs a manager",
        because=(PolicyId("discounts"),),
        approvers=("sales-manager",),
        expires_at=NOON + timedelta(minutes=15),
        policy_version=1,
        decision_id="decision-1",
    )


def approved(of: Task | str = "task-1") -> outcomes.TaskApproved:
    return outcomes.TaskApproved(
        task=_task(of), approval_id="approval-1", by=person(), held_under=1, approved_under=2
    )


def attempt(number: int = 1, outcome: str = "answered") -> Attempt:
    return Attempt(number=number, started_at=NOON, seconds=0.1, outcome=outcome)


def started(of: Task | str = "task-1", number: int = 1) -> outcomes.TaskStarted:
    return outcomes.TaskStarted(task=_task(of), attempt=number)


def progressed(of: Task | str = "task-1", number: int = 1, seq: int = 1) -> outcomes.TaskProgressed:
    return outcomes.TaskProgressed(task=_task(of), attempt=number, seq=seq, message="half-way")


def logged(of: Task | str = "task-1", number: int = 1, seq: int = 1) -> outcomes.TaskLogged:
    entry = '{"level":"info","data":"half-way"}'
    return outcomes.TaskLogged(task=_task(of), attempt=number, seq=seq, entry=entry)


def input_required(
    of: Task | str = "task-1", number: int = 1, seq: int = 1, requests: str = ASKED
) -> outcomes.TaskInputRequired:
    return outcomes.TaskInputRequired(task=_task(of), attempt=number, seq=seq, requests=requests)


def succeeded(of: Task | str = "task-1", result: str = '{"content":[]}') -> outcomes.TaskSucceeded:
    return outcomes.TaskSucceeded(task=_task(of), result=result, attempts=(attempt(),))


def failed(of: Task | str = "task-1", code: str = "unreachable") -> outcomes.TaskFailed:
    return outcomes.TaskFailed(
        task=_task(of), code=code, reason="`crm` is away", attempts=(attempt(1, "not_sent"),)
    )


def cancelled(of: Task | str = "task-1") -> outcomes.TaskCancelled:
    return outcomes.TaskCancelled(task=_task(of), by=person())


def unknown(of: Task | str = "task-1") -> outcomes.TaskUnknown:
    return outcomes.TaskUnknown(
        task=_task(of), code="lost", reason="no answer came", attempts=(attempt(1, "lost"),)
    )


def door_refused(
    request_id: str = "request-1", code: str = "invalid_token"
) -> outcomes.DoorRefused:
    return outcomes.DoorRefused(
        tenant="-", door="gateway", request_id=request_id, code=code, reason="the token expired"
    )


def server_moved(
    name: str = "crm", was: Lifecycle = Lifecycle.DRAFT, now: Lifecycle = Lifecycle.SUBMITTED
) -> changes.ServerMoved:
    return changes.ServerMoved(by=person(), tenant="acme", name=name, was=was, now=now)


def policy_published(version: int = 1) -> changes.PolicyPublished:
    return changes.PolicyPublished(
        by=person(), tenant="acme", name="set", version=version, record_digest=digest_of(b"")
    )


def raw(
    fact: Fact,
    source: str = "gateway",
    *,
    event_id: str | None = None,
    cause: str | None = None,
    traceparent: str | None = None,
) -> Raw:
    """`fact` as it travels, stamped at noon; the same fact has the same id unless one is given."""
    made = event_id or derived("test", fact.type, fact.model_dump_json())
    return Stamp(source, KEYRING, noon).state(fact, made, cause, traceparent)


def sent(
    fact: F, source: str = "gateway", *, event_id: str | None = None, cause: str | None = None
) -> Envelope[F]:
    """`fact`, as a handler gets it."""
    return cast("Envelope[F]", read(raw(fact, source, event_id=event_id, cause=cause)))
