"""Prometheus metrics, named alike for every service and transport."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What one process counts. No tenant, task or tool is a label: their number has no bound."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.handled = self._counter("bus_handled", "Messages handled", "group", "type")
        self.settled = self._counter("bus_settled", "Messages acknowledged", "group")
        self.failed = self._counter("bus_failed", "Handlers that failed", "group", "type")
        self.retried = self._counter("bus_retried", "Messages given a delay", "group", "type")
        self.parked = self._counter("bus_parked", "Messages made dead letters", "group", "code")
        self.latency = self._histogram(
            "bus_handling_seconds", "Time from reading a batch to its acknowledgement", "group"
        )
        self.backlog = self._gauge("backlog", "Work that waits", "service", "topic")
        self.in_flight = self._gauge("in_flight", "Work under way", "service", "topic")
        self.oldest = self._gauge(
            "backlog_oldest_seconds", "Age of the oldest work", "service", "topic"
        )
        self.dead = self._gauge("dead_letters", "Dead letters", "service", "topic")
        self.ready = self._gauge("ready", "1 while the service can do its work", "service")
        self.replicas = self._gauge("replicas", "Processes of the service", "service", "ready")
        self.calls = self._counter("upstream_attempts", "Attempts at upstreams", "outcome")
        self.call_seconds = self._histogram("upstream_seconds", "Time of an attempt", "outcome")
        self.tasks = self._counter("tasks", "Tasks by how they ended", "kind", "state")
        self.requests = self._counter("http_requests", "Requests at a door", "service", "status")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"interlock_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"interlock_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"interlock_{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def counted(counter: Counter) -> int:
    """What a counter has come to, under all its labels together."""
    return int(
        sum(
            sample.value
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )
    )
