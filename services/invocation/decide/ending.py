"""What follows from how an attempt ended."""

from datetime import datetime, timedelta

from interlock.contracts.outcomes import (
    Attempt,
    Settlement,
    TaskCancelled,
    TaskDenied,
    TaskFailed,
    TaskSettled,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Principal, Task
from services.invocation.decide.asking import unfit_to_ask
from services.invocation.decide.looking import failed
from services.invocation.model import (
    Again,
    Asks,
    Control,
    How,
    Job,
    Limits,
    Outcome,
    Terms,
    Try,
    Wait,
)


def bounded(tried: Try, limits: Limits) -> Try:
    """An answer that is too large to travel becomes an error that says so."""
    asked = tried.asks.requests if tried.asks is not None else ""
    size = len((tried.result or tried.error or asked).encode())
    if size <= limits.result_bytes:
        return tried
    return Try(
        How.ERROR,
        f"the upstream answered with `{size}` bytes, more than the `{limits.result_bytes}` that "
        "can be delivered; it did execute the call",
        code="too_large",
        told=tried.told,
    )


def after(
    job: Job, tried: Try, seconds: float, terms: Terms, now: datetime
) -> Outcome | Again | Wait:
    """What follows from an attempt that ended: the task's end, another attempt, or a wait."""
    this = Attempt(
        number=job.attempt,
        started_at=job.claimed_at,
        seconds=round(seconds, 6),
        outcome=tried.how.value,
        detail=tried.detail,
        told=tried.told,
    )
    attempts = (*job.attempts, this)
    if tried.how in {How.ANSWERED, How.ERROR}:
        return _answered(job.task, tried, attempts)
    safe = terms.repeatable or tried.how in {How.NOT_SENT, How.ASKED}
    if terms.control is not None:
        return _stopped(job, terms.control, attempts, safe)
    if tried.asks is not None:
        return _waiting(job, tried.asks, attempts)
    if not safe:
        return TaskUnknown(
            task=job.task,
            code="lost",
            reason=f"the call may or may not have had its effect: {tried.detail}",
            attempts=attempts,
        )
    at = now + timedelta(seconds=max(terms.pause, tried.retry_after))
    if tries(job) < terms.most_attempts and at < job.task.deadline:
        return Again(at, attempts)
    return _given_up(job, tried, attempts, now)


def _answered(task: Task, tried: Try, attempts: tuple[Attempt, ...]) -> TaskSucceeded | TaskFailed:
    if tried.how is How.ANSWERED:
        return TaskSucceeded(
            task=task, result=tried.result or "null", is_error=tried.is_error, attempts=attempts
        )
    return TaskFailed(
        task=task, code=tried.code, reason=tried.detail, error=tried.error, attempts=attempts
    )


def _waiting(job: Job, asks: Asks, attempts: tuple[Attempt, ...]) -> Wait | TaskFailed:
    why = unfit_to_ask(job, asks)
    return Wait(asks, attempts) if why is None else failed(job.task, why, attempts)


def tries(job: Job) -> int:
    """Attempts in a row that led nowhere, this one among them: an upstream that asked was there."""
    asked = [one.number for one in job.attempts if one.outcome == How.ASKED.value]
    return job.attempt - (asked[-1] if asked else 0)


def stopped(
    task: Task, control: Control, attempts: tuple[Attempt, ...] = ()
) -> TaskCancelled | TaskDenied:
    """The end of a task of which nothing was done: cancelled, or its input denied."""
    denied = control.denied
    if denied is None:
        return TaskCancelled(task=task, by=control.by, reason=control.reason, attempts=attempts)
    return TaskDenied(
        task=task,
        code=denied.code,
        reason=denied.reason,
        because=denied.because,
        missing=denied.missing,
        policy_version=denied.policy_version,
        decision_id=denied.decision_id,
        by=denied.by,
    )


def _stopped(
    job: Job, control: Control, attempts: tuple[Attempt, ...], safe: bool
) -> TaskCancelled | TaskDenied | TaskUnknown:
    if safe:
        return stopped(job.task, control, attempts)
    why = f" ({control.reason})" if control.reason else ""
    what = f"`{control.by.label}` cancelled the call while it ran{why}"
    if control.denied is not None:
        what = f"the input that the call waited for was denied ({control.denied.reason})"
    return TaskUnknown(
        task=job.task,
        code="cancel_unconfirmed" if control.denied is None else "input_denied",
        reason=f"{what}, and the upstream did not say whether it had its effect",
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
    if tried.how in {How.LOST, How.ASKED}:
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
