"""One read, prompt or completion: a task like a call, but what has no result is an error."""

from dataclasses import dataclass
from datetime import timedelta

from opentelemetry.trace import SpanKind

from interlock.contracts.outcomes import TaskFailed
from interlock.contracts.task import TaskState
from interlock.identity.tokens import Caller
from interlock.telemetry.traces import traceparent_of
from services.gateway.decide import tell
from services.gateway.decide.manner import Manner
from services.gateway.handlers.calls import Calls
from services.gateway.handlers.listener import Listener
from services.gateway.handlers.tasks import Asked
from services.gateway.model import NO_MEANS, Feature, Means, Unanswered


@dataclass(frozen=True, slots=True)
class WantedFeature:
    """What a client wants. `text` is the exact JSON text of the task's arguments."""

    feature: Feature
    text: str
    traceparent: str | None = None
    means: Means = NO_MEANS


@dataclass(frozen=True)
class Features:
    """Waits as calls do, and is cancelled as they are."""

    calls: Calls

    async def answer(self, caller: Caller, wanted: WantedFeature, listener: Listener) -> str:
        """The upstream's result as JSON text.

        Raises `Unanswered` where the task ended without one, or has not ended in time;
        `Unavailable` where nothing will run.
        """
        feature, tasks = wanted.feature, self.calls.tasks
        name = f"{feature.kind} {feature.server.name}"
        with self.calls.traces.span("gateway", name, wanted.traceparent, SpanKind.SERVER) as span:
            asked = Asked(
                feature,
                {},
                wanted.text,
                timedelta(seconds=self.calls.deadline),
                traceparent=traceparent_of(span),
                means=wanted.means,
                manner=Manner(wanted.means.client, pushes=wanted.means.pushes),
            )
            task = tasks.task(caller, asked)
            span.set_attribute("interlock.task.id", task.id)
            snapshot = await self.calls.waited(caller, task, asked, listener)
        if listener.modern and snapshot.state is TaskState.INPUT_REQUIRED:
            return self.calls.rounds.required(snapshot, asked)
        result = tell.feature_result(snapshot, modern=listener.modern)
        if result is not None:
            return result
        error = snapshot.fact.error if isinstance(snapshot.fact, TaskFailed) else None
        raise Unanswered(tell.sentence(snapshot, tasks.url_of(task)), error)
