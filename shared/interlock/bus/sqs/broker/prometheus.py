"""Counts and durations by queue."""

from typing import Any

from faststream import PublishCommand, StreamMessage
from faststream._internal.constants import EMPTY
from faststream.prometheus import ConsumeAttrs, MetricsSettingsProvider
from faststream.prometheus.middleware import PrometheusMiddleware
from prometheus_client import CollectorRegistry

from interlock.bus.sqs.broker.message import Raw, several
from interlock.bus.sqs.broker.response import SqsPublishCommand


class SqsMetricsSettingsProvider(MetricsSettingsProvider[Raw]):
    """What is counted of a message, or of a batch."""

    messaging_system = "sqs"

    def get_consume_attrs_from_message(self, msg: StreamMessage[Raw]) -> ConsumeAttrs:
        received = several(msg.raw_message)
        return {
            "destination_name": received[0].queue,
            "message_size": sum(len(one.raw["Body"]) for one in received),
            "messages_count": len(received),
        }

    def get_publish_destination_name_from_cmd(self, cmd: PublishCommand) -> str:
        return cmd.destination


class SqsPrometheusMiddleware(PrometheusMiddleware[Raw, SqsPublishCommand]):
    """For `SqsBroker(middlewares=[…])`."""

    def __init__(
        self,
        *,
        registry: CollectorRegistry,
        app_name: str = EMPTY,
        metrics_prefix: str = "faststream",
        **given: Any,
    ) -> None:
        super().__init__(
            settings_provider_factory=lambda _: SqsMetricsSettingsProvider(),
            registry=registry,
            app_name=app_name,
            metrics_prefix=metrics_prefix,
            **given,
        )
