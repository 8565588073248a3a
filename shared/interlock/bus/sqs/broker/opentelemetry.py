"""Traces across queues; `traceparent` travels in the headers."""

from typing import Any

from faststream import StreamMessage
from faststream.opentelemetry import TelemetrySettingsProvider
from faststream.opentelemetry.consts import MESSAGING_DESTINATION_PUBLISH_NAME
from faststream.opentelemetry.middleware import TelemetryMiddleware
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.semconv.trace import SpanAttributes
from opentelemetry.trace import TracerProvider

from interlock.bus.sqs.broker.message import Raw, several
from interlock.bus.sqs.broker.response import SqsPublishCommand

SYSTEM = "aws_sqs"


class SqsTelemetrySettingsProvider(TelemetrySettingsProvider[Raw, SqsPublishCommand]):
    """What a span says of a message, or of a batch."""

    messaging_system = SYSTEM

    def get_consume_attrs_from_message(self, msg: StreamMessage[Raw]) -> dict[str, Any]:
        attributes = {
            SpanAttributes.MESSAGING_SYSTEM: SYSTEM,
            SpanAttributes.MESSAGING_MESSAGE_ID: msg.message_id,
            SpanAttributes.MESSAGING_MESSAGE_CONVERSATION_ID: msg.correlation_id,
            SpanAttributes.MESSAGING_MESSAGE_PAYLOAD_SIZE_BYTES: sum(
                len(one.raw["Body"]) for one in several(msg.raw_message)
            ),
            MESSAGING_DESTINATION_PUBLISH_NAME: self.get_consume_destination_name(msg),
        }
        if isinstance(msg.raw_message, tuple):
            attributes[SpanAttributes.MESSAGING_BATCH_MESSAGE_COUNT] = len(msg.raw_message)
        return attributes

    def get_consume_destination_name(self, msg: StreamMessage[Raw]) -> str:
        return several(msg.raw_message)[0].queue

    def get_publish_attrs_from_cmd(self, cmd: SqsPublishCommand) -> dict[str, Any]:
        attributes = {
            SpanAttributes.MESSAGING_SYSTEM: SYSTEM,
            SpanAttributes.MESSAGING_DESTINATION_NAME: cmd.destination,
        }
        if cmd.correlation_id:
            attributes[SpanAttributes.MESSAGING_MESSAGE_CONVERSATION_ID] = cmd.correlation_id
        return attributes

    def get_publish_destination_name(self, cmd: SqsPublishCommand) -> str:
        return cmd.destination


class SqsTelemetryMiddleware(TelemetryMiddleware[SqsPublishCommand]):
    """For `SqsBroker(middlewares=[…])`."""

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(
            settings_provider_factory=lambda _: SqsTelemetrySettingsProvider(),
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            meter=meter,
        )
