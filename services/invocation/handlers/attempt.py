"""One attempt at an upstream: what goes there, and what its answer means."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import structlog
from opentelemetry.trace import SpanKind

from interlock.bus import Raw
from interlock.contracts.outcomes import TaskProgressed, TaskStarted
from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from interlock.telemetry.traces import traceparent_of
from services.invocation.clients import (
    Connection,
    OnProgress,
    Reach,
    UpstreamCall,
    UpstreamError,
)
from services.invocation.handlers.around import Around
from services.invocation.handlers.ends import Ends
from services.invocation.model import Call, Control, How, Job, Try

log = structlog.get_logger()
STARTED_SECONDS = 0.02
"""A call that takes no longer is told to have started together with its end: one publication
instead of two, and nobody could have seen it run."""
PROGRESS_SECONDS = 0.2
"""Between two reports of one task's progress; what comes in between is dropped."""
PROGRESS_AT_ONCE = 5
"""Reports of an attempt before that begins: a call with few of them is told of each."""
GRACE_SECONDS = 5.0
"""Beyond its timeout, for a client to give up by itself."""


@dataclass(frozen=True, slots=True)
class Claim:
    """How a job came into our hands."""

    since: float
    """When its claim began, on the loop's clock."""
    kept: "asyncio.Future[bool] | None" = None
    """Whether the claim would survive a power cut, as soon as that is known; None: it would."""


@dataclass(eq=False)
class Holding:
    """A job in hand."""

    job: Job
    claim: Claim
    control: Control | None = None
    interrupted: bool = False
    """The service stops and can wait no longer."""
    call: "asyncio.Future[Try] | None" = None
    begun: bool = False
    """The call has got as far as its client."""
    untold: list[Raw] = field(default_factory=list)
    """What is told with its end at the latest."""

    def stop(self, control: Control | None) -> None:
        """Let the call go; with a control for somebody's sake, without one for the service's."""
        if control is None:
            self.interrupted = True
        else:
            self.control = control
        if self.call is not None:
            self.call.cancel()


class Attempts:
    """Makes calls."""

    def __init__(self, around: Around, ends: Ends) -> None:
        self._around = around
        self._ends = ends

    async def make(self, holding: Holding, call: Call) -> tuple[Try, float]:
        """How the attempt ended, and its seconds. Raises nothing but its own cancellation."""
        self._started(holding)
        loop, began = asyncio.get_running_loop(), perf_counter()
        with self._span(holding.job) as traceparent:
            holding.call = asyncio.ensure_future(self._call(holding, call, traceparent))
            later = loop.call_later(STARTED_SECONDS, self._tell, holding)
            try:
                await asyncio.wait([holding.call])
            finally:
                later.cancel()
                holding.call.cancel()
        tried, seconds = self._result(holding, holding.call), perf_counter() - began
        self._around.metrics.calls.labels(tried.how.value).inc()
        self._around.metrics.call_seconds.labels(tried.how.value).observe(seconds)
        return tried, seconds

    def _result(self, holding: Holding, call: "asyncio.Future[Try]") -> Try:
        if call.cancelled():
            why = "the service was stopped" if holding.interrupted else "the call was cancelled"
            if not holding.begun:
                return Try(How.NOT_SENT, f"{why} before it was made")
            return Try(How.LOST, f"{why} before the answer came")
        error = call.exception()
        if error is None:
            return call.result()
        if isinstance(error, TimeoutError):
            return Try(How.LOST, "no answer came in time")
        log.error("attempt.failed", task_id=holding.job.task.id, exc_info=error)
        return Try(How.LOST, f"the client failed with `{type(error).__name__}`")

    async def _call(self, holding: Holding, call: Call, traceparent: str | None) -> Try:
        holding.begun, task = True, holding.job.task
        connection = Connection(task.tenant, task.server, call.connection)
        async with asyncio.timeout(call.timeout + GRACE_SECONDS):
            try:
                if task.kind is TaskKind.INSPECT:
                    found = await self._around.upstream.inspect(connection, call.timeout)
                    return Try(How.ANSWERED, result=found.model_dump_json())
                answer = await self._around.upstream.call(
                    self._request(holding, call, connection, traceparent)
                )
                return Try(How.ANSWERED, result=answer.result, is_error=answer.is_error)
            except UpstreamError as error:
                return _tried(error)
            except Refused as error:
                return Try(How.ERROR, error.detail, code=error.code)

    def _request(
        self, holding: Holding, call: Call, connection: Connection, traceparent: str | None
    ) -> UpstreamCall:
        assert call.target is not None, "only an inspection has none"
        return UpstreamCall(
            connection=connection,
            tool=call.target.name,
            method=call.target.method,
            arguments=holding.job.arguments,
            timeout=call.timeout,
            definition=call.definition,
            meta={"traceparent": traceparent} if traceparent else {},
            task_id=holding.job.task.id,
            on_progress=self._progress(holding),
        )

    # -- what is told on the way ----------------------------------------------------------------

    def _started(self, holding: Holding) -> None:
        job = holding.job
        started = TaskStarted(task=job.task, attempt=job.attempt)
        holding.untold.append(self._around.state(job, started))

    def _tell(self, holding: Holding) -> None:
        if holding.untold:
            self._ends.aside(holding.untold)
            holding.untold = []

    def _progress(self, holding: Holding) -> OnProgress:
        """Reports progress: a few at once, then one in `PROGRESS_SECONDS`."""
        loop = asyncio.get_running_loop()
        job, seq, due = holding.job, 0, 0.0

        async def report(progress: float, total: float | None, message: str | None) -> None:
            nonlocal seq, due
            if seq >= PROGRESS_AT_ONCE and loop.time() < due:
                return
            seq, due = seq + 1, loop.time() + PROGRESS_SECONDS
            fact = TaskProgressed(
                task=job.task,
                attempt=job.attempt,
                seq=seq,
                message=message or "",
                progress=progress,
                total=total,
            )
            self._tell(holding)
            self._ends.aside([self._around.state(job, fact, seq)])

        return report

    @contextmanager
    def _span(self, job: Job) -> Iterator[str | None]:
        """A span below the task's own trace; gives the context that goes to the upstream."""
        if not self._around.traces.exports:
            yield job.traceparent
            return
        with self._around.traces.span(
            "invocation",
            f"{job.task.kind} {job.task.server}",
            job.traceparent,
            SpanKind.CLIENT,
            **{
                "interlock.task.id": job.task.id,
                "interlock.tenant": job.task.tenant,
                "interlock.attempt": job.attempt,
                "gen_ai.tool.name": job.task.tool or "",
            },
        ) as span:
            yield traceparent_of(span)


def _tried(error: UpstreamError) -> Try:
    """An upstream's error in our own words."""
    how = {
        Reach.ANSWERED: How.ERROR,
        Reach.NOT_SENT: How.NOT_SENT,
        Reach.LOST: How.LOST,
    }[error.reach]
    return Try(how, error.detail, error=error.error, retry_after=error.retry_after or 0.0)
