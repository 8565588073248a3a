"""One attempt at an upstream: what goes there, and what its answer means."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import structlog
from opentelemetry.trace import SpanKind

from interlock.contracts.outcomes import TaskProgressed, TaskStarted
from interlock.contracts.task import TaskKind
from interlock.errors import Refused
from interlock.telemetry.traces import traceparent_of
from services.invocation import decide
from services.invocation.clients import (
    Connection,
    OnProgress,
    Patience,
    Reach,
    UpstreamCall,
    UpstreamError,
)
from services.invocation.handlers.around import Around
from services.invocation.handlers.asking import Asking
from services.invocation.handlers.ends import Ends
from services.invocation.handlers.holding import Holding, Progress
from services.invocation.handlers.room import Room
from services.invocation.model import Call, How, Job, Try

log = structlog.get_logger()
STARTED_SECONDS = 0.1
"""A call that takes no longer is told to have started together with its end: one publication
instead of two, and to people what takes a tenth of a second is at once."""
PROGRESS_SECONDS = 0.2
"""Between two reports of one task's progress; of what comes in between the latest is told."""
PROGRESS_AT_ONCE = 5
"""Reports of an attempt before that begins: a call with few of them is told of each."""
GRACE_SECONDS = 5.0
"""Beyond its timeout, for a client to give up by itself."""


class Attempts:
    """Makes calls."""

    def __init__(self, around: Around, ends: Ends, room: Room) -> None:
        self._around = around
        self._ends = ends
        self._asking = Asking(around, ends, room)
        calls, seconds = around.metrics.calls, around.metrics.call_seconds
        self._count = {how: (calls.labels(how.value), seconds.labels(how.value)) for how in How}
        self.ask_again = self._asking.ask_again

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
        seconds = perf_counter() - began
        if holding.latest is not None:
            self._progressed(holding, holding.latest)
        tried = self._result(holding, holding.call)
        calls, times = self._count[tried.how]
        calls.inc()
        times.observe(seconds)
        return replace(tried, told=holding.seq) if holding.seq else tried, seconds

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
        async with Patience(call.timeout + GRACE_SECONDS) as patience:
            try:
                if task.kind is TaskKind.INSPECT:
                    found = await self._around.upstream.inspect(connection, call.timeout)
                    return Try(How.ANSWERED, result=found.model_dump_json())
                request = self._request(holding, call, connection, traceparent)
                if request.on_ask is not None:
                    left = (task.deadline - self._around.now()).total_seconds()
                    request = replace(request, on_ask=patience.spared(request.on_ask, left))
                answer = await self._around.upstream.call(request)
                if answer.asks is not None:
                    return Try(How.ASKED, asks=answer.asks)
                return Try(How.ANSWERED, result=answer.result, is_error=answer.is_error)
            except UpstreamError as error:
                return _tried(error)
            except Refused as error:
                return Try(How.ERROR, error.detail, code=error.code)

    def _request(
        self, holding: Holding, call: Call, connection: Connection, traceparent: str | None
    ) -> UpstreamCall:
        assert call.target is not None, "only an inspection has none"
        job = holding.job
        return UpstreamCall(
            connection=connection,
            tool=call.target.name,
            method=call.target.method,
            arguments=job.arguments,
            timeout=call.timeout,
            definition=call.definition,
            meta={"traceparent": traceparent} if traceparent else {},
            task_id=job.task.id,
            on_progress=self._progress(holding),
            client=decide.told_upstream(job.client),
            given=job.given,
            request_state=job.request_state,
            on_ask=self._asking.questions(holding) if decide.askable(job.client) else None,
            on_log=None if job.client.log_level is None else self._asking.log(holding),
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
        """Reports progress: a few at once, then the latest each `PROGRESS_SECONDS`; the very last
        with the end of the attempt."""
        loop = asyncio.get_running_loop()
        told, due = 0, 0.0

        def tell() -> None:
            nonlocal told, due
            if holding.latest is not None and holding.call is not None and not holding.call.done():
                told, due = told + 1, loop.time() + PROGRESS_SECONDS
                self._progressed(holding, holding.latest)
                self._tell(holding)

        async def report(progress: float, total: float | None, message: str | None) -> None:
            waits = holding.latest is not None
            holding.latest = Progress(progress, total, message or "")
            if told < PROGRESS_AT_ONCE or loop.time() >= due:
                tell()
            elif not waits:
                loop.call_at(due, tell)

        return report

    def _progressed(self, holding: Holding, latest: Progress) -> None:
        job, seq = holding.job, holding.number()
        holding.latest = None
        fact = TaskProgressed(
            task=job.task,
            attempt=job.attempt,
            seq=seq,
            message=latest.message,
            progress=latest.progress,
            total=latest.total,
        )
        holding.untold.append(self._around.state(job, fact, seq))

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
