"""What follows from how an attempt ended."""

from datetime import datetime, timedelta

from interlock.contracts.outcomes import (
    Attempt,
    Settlement,
    TaskCancelled,
    TaskFailed,
    TaskSettled,
    TaskSucceeded,
    TaskUnknown,
)
from interlock.contracts.task import Principal, Task
from services.invocation.model import Again, Control, How, Job, Limits, Outcome, Terms, Try


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
        reason=f"`{control.by.label}` cancelled the call while it ran"
        + (f" ({control.reason})" if control.reason else "")
        + ", and the upstream did not say whether it had its effect",
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
