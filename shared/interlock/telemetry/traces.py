"""OpenTelemetry traces: one per task, across every hop and into the upstream.

Set up by the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, …).
Without an endpoint nothing is recorded, but the context still travels with every message.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C = TraceContextTextMapPropagator()
IDS = RandomIdGenerator()


class Traces:
    """Spans of one process, by service."""

    def __init__(self, provider: TracerProvider, exports: bool) -> None:
        self._provider = provider
        self.exports = exports
        """Whether spans go anywhere; where not, hops spare themselves the work."""
        self._tracers: dict[str, trace.Tracer] = {}

    def tracer(self, service: str) -> trace.Tracer:
        """The tracer whose spans say that `service` made them."""
        if service not in self._tracers:
            self._tracers[service] = self._provider.get_tracer(f"interlock.{service}")
        return self._tracers[service]

    @contextmanager
    def span(
        self, service: str, name: str, parent: str | None, kind: SpanKind, **attributes: Any
    ) -> Iterator[Span]:
        """A span below the W3C `traceparent` text `parent`, current while the block runs."""
        if not self.exports:
            passing = _passing(parent)
            token = context.attach(trace.set_span_in_context(passing))
            try:
                yield passing
            finally:
                context.detach(token)
            return
        with self.tracer(service).start_as_current_span(
            name, context=context_of(parent), kind=kind, attributes=attributes
        ) as span:
            yield span

    def close(self) -> None:
        """Send what is waiting."""
        if self.exports:
            self._provider.shutdown()


def _passing(parent: str | None) -> Span:
    """A span that nobody records: it only carries the trace on, or begins one, unsampled."""
    above = trace.get_current_span(context_of(parent)).get_span_context()
    if not above.is_valid:
        begun = SpanContext(IDS.generate_trace_id(), IDS.generate_span_id(), is_remote=False)
        return NonRecordingSpan(begun)
    carried = SpanContext(
        above.trace_id,
        IDS.generate_span_id(),
        is_remote=False,
        trace_flags=above.trace_flags,
        trace_state=above.trace_state,
    )
    return NonRecordingSpan(carried)


def context_of(traceparent: str | None) -> Context | None:
    """The OpenTelemetry context that a `traceparent` text names."""
    return _W3C.extract({"traceparent": traceparent}) if traceparent else None


def traceparent_of(span: Span | None = None) -> str | None:
    """The W3C text of `span`, or of the current one; None outside of any."""
    there = (span or trace.get_current_span()).get_span_context()
    if not there.is_valid:
        return None
    return f"00-{there.trace_id:032x}-{there.span_id:016x}-{there.trace_flags:02x}"


def open_traces(
    environ: Mapping[str, str] = os.environ, exporter: SpanExporter | None = None
) -> Traces:
    """Traces as the standard variables ask; `exporter` stands in for the OTLP one in tests."""
    provider = TracerProvider(
        resource=Resource.create({"service.namespace": "interlock"}), shutdown_on_exit=False
    )
    if exporter is None:
        exporter = _otlp(environ)
    if exporter is not None:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider, exports=exporter is not None)


def _otlp(environ: Mapping[str, str]) -> SpanExporter | None:
    wanted = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    if not wanted or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )

    return OTLPSpanExporter()
