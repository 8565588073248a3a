"""What the bus tells becomes metrics and spans."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

from opentelemetry.trace import SpanKind

from interlock.bus.envelope import Envelope
from interlock.telemetry.metrics import Metrics
from interlock.telemetry.traces import Traces


class BusObserver:
    """`interlock.bus.observe.Observer` for one process."""

    def __init__(self, metrics: Metrics, traces: Traces) -> None:
        self._metrics = metrics
        self._traces = traces
        self._handled = cache(metrics.handled.labels)
        self._settled = cache(metrics.settled.labels)
        self._took = cache(metrics.latency.labels)

    def handling(self, group: str, envelope: Envelope[Any]) -> AbstractContextManager[None] | None:
        """A consumer span below the message's own trace (OpenTelemetry messaging conventions)."""
        if not self._traces.exports or envelope.traceparent is None:
            return None
        return self._consuming(group, envelope)

    @contextmanager
    def _consuming(self, group: str, envelope: Envelope[Any]) -> Iterator[None]:
        with self._traces.span(
            group,
            f"process {envelope.raw.topic}",
            envelope.traceparent,
            SpanKind.CONSUMER,
            **{
                "messaging.operation.type": "process",
                "messaging.destination.name": envelope.raw.topic.value,
                "messaging.consumer.group.name": group,
                "messaging.message.id": envelope.id,
                "interlock.task.id": envelope.raw.attributes.get("ce_subject", ""),
            },
        ):
            yield

    def handled(self, group: str, type_: str, messages: int) -> None:
        self._handled(group, type_).inc(messages)

    def failed(self, group: str, type_: str, error: BaseException) -> None:
        self._metrics.failed.labels(group, type_).inc()

    def retried(self, group: str, type_: str, delay: float) -> None:
        self._metrics.retried.labels(group, type_).inc()

    def parked(self, group: str, type_: str, code: str) -> None:
        self._metrics.parked.labels(group, code).inc()

    def settled(self, group: str, messages: int, seconds: float) -> None:
        self._settled(group).inc(messages)
        self._took(group).observe(seconds)
