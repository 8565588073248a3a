"""One `tools/call`: accept the task, wait for its end, tell it as a tool's result."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from opentelemetry.trace import SpanKind

from interlock.contracts.catalogue import Execution
from interlock.contracts.task import Principal, Task, TaskState
from interlock.errors import Refused, Unavailable, Unsure
from interlock.identity.tokens import Caller
from interlock.telemetry.traces import Traces, traceparent_of
from services.gateway.decide import rejoin, tell
from services.gateway.decide.detailed import created
from services.gateway.decide.manner import NEEDS_TASKS, manner_of
from services.gateway.handlers.leases import Leases, Reply
from services.gateway.handlers.listener import Listener, Telling
from services.gateway.handlers.pushing import Pushing
from services.gateway.handlers.refusals import Refusals
from services.gateway.handlers.requests import Requests
from services.gateway.handlers.rounds import Rounds
from services.gateway.handlers.tasks import Asked, Tasks
from services.gateway.handlers.waiting import Moved, Patience, Waiters, Watch, until_final
from services.gateway.model import NO_MEANS, Means, Offer, Place, Snapshot, TurnedAway, Unanswered

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call as the client wants it. `text` is the exact JSON text of `arguments`."""

    offer: Offer
    arguments: dict[str, Any]
    text: str
    traceparent: str | None = None
    means: Means = NO_MEANS


@dataclass(frozen=True, slots=True)
class Terms:
    """Of calls whose clients know tasks."""

    inline: float
    """Seconds after which a call becomes a task, where its tool says nothing."""
    deadline: float
    """Seconds."""
    keep: timedelta
    """How long a task is there after its end."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """How one client waits."""

    patience: Patience
    listener: Listener
    putting: Pushing | None
    """Asks it meanwhile, where it can be asked so."""


@dataclass(frozen=True)
class Calls:
    """Calls of all MCP clients of this replica. Times in seconds."""

    tasks: Tasks
    waiters: Waiters
    refusals: Refusals
    leases: Leases
    requests: Requests
    traces: Traces
    require_standing: Callable[..., None]
    """`Refused` where the caller's access was revoked since the request was let in; `lasting`: or
    is over."""
    rounds: Rounds
    terms: Terms
    deadline: float
    wait: float
    run_wait: float
    _cancelling: set["asyncio.Task[None]"] = field(default_factory=set)

    async def answer(self, caller: Caller, wanted: Wanted, listener: Listener) -> str:
        """The result as JSON text, however the call ended; `Unavailable` where nothing will run.

        Arguments that do not fit are a tool error: whoever called can read what is wrong and
        correct it (MCP 2026-07-28, "Error Handling"); what the client itself lacks is `Unanswered`.
        Cancelled by a client that went away it asks
        for the task's end.
        """
        offer = wanted.offer
        with self.traces.span(
            "gateway", f"tools/call {offer.qualified}", wanted.traceparent, SpanKind.SERVER
        ) as span:
            asked = self._asked(wanted, traceparent_of(span))
            try:
                task = self.tasks.task(caller, asked)
            except Refused as error:
                if error.code != "invalid":
                    raise
                self.refusals.note(error, caller, offer.server.name, offer.tool.name)
                return tell.refusal(_violations(error), modern=listener.modern)
            span.set_attribute("interlock.task.id", task.id)
            return await self._run(caller, task, asked, listener)

    def _asked(self, wanted: Wanted, traceparent: str | None) -> Asked:
        """`TurnedAway` where the tool is only for clients that know tasks."""
        manner = manner_of(wanted.offer.tool, wanted.means, self.terms.inline)
        if manner.execution is None and wanted.offer.tool.execution is Execution.TASK_REQUIRED:
            told = f"{wanted.offer.told} only runs as a task, which the client does not know"
            raise TurnedAway(told, NEEDS_TASKS, code="missing_capability")
        deadline = self.deadline if manner.execution is None else self.terms.deadline
        return Asked(
            wanted.offer,
            wanted.arguments,
            wanted.text,
            timedelta(seconds=deadline),
            traceparent=traceparent,
            rejoins=not wanted.offer.tool.repeatable,
            means=wanted.means,
            manner=manner,
        )

    def _early(self, snapshot: Snapshot, asked: Asked, listener: Listener) -> str | None:
        """The answer where that is no end of the task: the task itself, or what it asks for."""
        if asked.manner.becomes_task(snapshot):
            return created(snapshot, self.tasks.url_of(snapshot.task), self.terms.keep)
        if listener.modern and snapshot.state is TaskState.INPUT_REQUIRED:
            return self.rounds.required(snapshot, asked)
        return None

    async def _run(self, caller: Caller, task: Task, asked: Asked, listener: Listener) -> str:
        try:
            snapshot = await self.waited(caller, task, asked, listener)
        except Unsure as error:
            text = f"{error.detail}: {self.tasks.url_of(task)}"
            return tell.refusal(text, modern=listener.modern, task_id=task.id)
        early = self._early(snapshot, asked, listener)
        if early is not None:
            listener.reply.tells_end = asked.manner.becomes_task(snapshot)
            return early
        listener.reply.tells_end, url = snapshot.final, self.tasks.url_of(snapshot.task)
        lacking = tell.lacks_capability(snapshot)
        if lacking is not None:
            raise Unanswered(tell.sentence(snapshot, url), lacking)
        return tell.tool_result(snapshot, url, modern=listener.modern)

    async def waited(
        self, caller: Caller, task: Task, asked: Asked, listener: Listener
    ) -> Snapshot:
        """Accept the task and wait for its end, or as long as a client may wait.

        `Refused` where the caller's access is revoked meanwhile, or ends while a client that is
        asked on the call's stream thinks: since 2026-07-28 it would have to show a token to go on.
        The task goes on.
        """

        def patience(snapshot: Snapshot) -> float:
            asked_here = listener.asks is not None and snapshot.state is TaskState.INPUT_REQUIRED
            self.require_standing(caller, lasting=asked_here)
            return min(self._patience(snapshot, asked), asked.manner.patience(snapshot))

        asks = listener.asks
        putting = Pushing(asks, self.rounds, caller, asked.manner) if asks is not None else None
        waiting, standing = _Waiting(patience, listener, putting), task
        try:
            while True:
                with self.waiters.watch(Place(task.tenant, task.id)) as watch:
                    snapshot = await self._begun(caller, task, asked)
                    standing = snapshot.task
                    self._begin(listener.reply, standing, asked)
                    if snapshot.place == watch.place:
                        watch.begin(snapshot)
                        return await self._end(watch, waiting)
                joined = await self._joined(snapshot, waiting)
                if asked.means.retry or not rejoin.is_void(joined):
                    return joined
                self.leases.let_go(listener.reply)
        except asyncio.CancelledError:
            if listener.modern and not (listener.reply.ended_by_us or self.waiters.closing):
                self._cancel_later(standing, caller.principal)
            raise

    def _begin(self, reply: Reply, task: Task, asked: Asked) -> None:
        if asked.rejoins:
            self.leases.hold(reply, task)
        if reply.request is not None:
            self.requests.begin(reply, task)

    def over(self, reply: Reply) -> None:
        """The response is over, however it ended: nobody waits at the other end any more."""
        self.leases.let_go(reply)
        self.requests.end(reply)

    async def _joined(self, snapshot: Snapshot, waiting: "_Waiting") -> Snapshot:
        """The end of an earlier call, whose client asks again."""
        log.info("call.joined", task_id=snapshot.task.id, state=snapshot.state)
        with self.waiters.watch(snapshot.place) as watch:
            watch.begin(snapshot)
            with suppress(Unavailable):
                watch.renew(await self.tasks.store.read(snapshot.place))
            return await self._end(watch, waiting)

    async def _end(self, watch: Watch, waiting: "_Waiting") -> Snapshot:
        store, standing = self.tasks.store, watch.snapshot
        heard: list[Moved] = []
        if waiting.listener.curious and standing is not None:
            heard.append(Telling(waiting.listener, store, watch.place, standing.task.round))
        if waiting.putting is not None:
            heard.append(waiting.putting)

        async def moved(snapshot: Snapshot) -> bool:
            for one in heard:
                if not await one(snapshot):
                    return False
            return True

        told = moved if heard else None
        return await until_final(watch, self.waiters, store, waiting.patience, told)

    async def _begun(self, caller: Caller, task: Task, asked: Asked) -> Snapshot:
        retry = asked.means.retry
        if retry is None:
            return await self.tasks.accept(caller, task, asked)
        return await self.rounds.resume(caller, task, asked, retry)

    def _patience(self, snapshot: Snapshot, asked: Asked) -> float:
        """The clock of a client that is asked in the middle goes on while it thinks."""
        running = snapshot.state in (TaskState.RUNNING, TaskState.INPUT_REQUIRED)
        given = snapshot.state is TaskState.SUBMITTED and snapshot.task.round > 0
        return self.run_wait if running or (given and asked.manner.pushes) else self.wait

    def _cancel_later(self, task: Task, by: Principal) -> None:
        """Unless it was cut off before the task was sent to the store, which answers in order."""

        async def cancel() -> None:
            try:
                snapshot = await self.tasks.store.read(Place(task.tenant, task.id))
                if snapshot is not None and not snapshot.final:
                    await self.tasks.request_cancel(task, by, rejoin.GONE)
            except Unavailable as error:
                log.warning("task.not_cancelled", task_id=task.id, why=error.detail)

        running = asyncio.ensure_future(cancel())
        self._cancelling.add(running)
        running.add_done_callback(self._cancelling.discard)


def _violations(error: Refused) -> str:
    found = error.data.get("violations", ())
    lines = [f"`{one['at']}`: {one['what']}" for one in found]  # type: ignore[attr-defined]  # of `decide.admit`
    return "\n".join([f"{error.detail}:", *lines])
