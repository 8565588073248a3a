"""A publisher: a queue by name, and what is told of it."""

from collections.abc import Iterable
from typing import Any

from faststream import PublishCommand, PublishType
from faststream._internal.basic_types import SendableMessage
from faststream._internal.endpoint.publisher import PublisherSpecification, PublisherUsecase
from faststream._internal.endpoint.publisher.fake import FakePublisher
from faststream._internal.producer import ProducerProto
from faststream._internal.types import PublisherMiddleware
from faststream.specification.asyncapi.utils import resolve_payloads
from faststream.specification.schema import Message, Operation, PublisherSpec
from faststream.specification.schema.bindings import ChannelBinding, sqs

from interlock.bus.sqs.broker.configs import (
    SqsBrokerConfig,
    SqsPublisherConfig,
    SqsPublisherSpecificationConfig,
)
from interlock.bus.sqs.broker.response import SqsPublishCommand


class SqsPublisherSpecification(
    PublisherSpecification[SqsBrokerConfig, SqsPublisherSpecificationConfig]
):
    @property
    def queue(self) -> str:
        return f"{self._outer_config.prefix}{self.config.queue}"

    @property
    def name(self) -> str:
        return self.config.title_ or f"{self.queue}:Publisher"

    def get_schema(self) -> dict[str, PublisherSpec]:
        payloads = resolve_payloads(self.get_payloads(), "Publisher")
        message = Message(title=f"{self.name}:Message", payload=payloads)
        return {
            self.name: PublisherSpec(
                address=self.queue,
                description=self.config.description_,
                operation=Operation(message=message, bindings=None),
                bindings=ChannelBinding(sqs=sqs.ChannelBinding(queue={"name": self.queue})),
            )
        }


class SqsPublisher(PublisherUsecase):
    """Sends to one queue."""

    def __init__(
        self, config: SqsPublisherConfig, specification: PublisherSpecification[Any, Any]
    ) -> None:
        super().__init__(config=config, specification=specification)
        self.config = config

    @property
    def queue(self) -> str:
        return f"{self._outer_config.prefix}{self.config.queue}"

    async def publish(self, message: SendableMessage, **given: Any) -> None:
        """Options: `delay` (seconds), `headers`, `correlation_id`, `reply_to`."""
        cmd = self._command(message, **given)
        await self._basic_publish(cmd, producer=self._producer, _extra_middlewares=())

    async def publish_batch(self, *messages: SendableMessage, **given: Any) -> None:
        """By ten; options as of `publish`, for each."""
        cmd = self._command(*messages, **given)
        await self._basic_publish_batch(cmd, producer=self._producer, _extra_middlewares=())

    async def request(self, message: SendableMessage, /, **given: Any) -> Any:
        cmd = self._command(message, _publish_type=PublishType.REQUEST, **given)
        return await self._basic_request(cmd, producer=self._producer)

    async def _publish(
        self, cmd: PublishCommand, *, _extra_middlewares: Iterable[PublisherMiddleware]
    ) -> None:
        """What a handler returned."""
        ours = SqsPublishCommand.from_cmd(cmd)
        ours.destination = self.queue
        ours.delay = ours.delay or self.config.delay
        ours.add_headers(self.config.headers or {}, override=False)
        await self._basic_publish(
            ours, producer=self._producer, _extra_middlewares=_extra_middlewares
        )

    @property
    def _producer(self) -> ProducerProto[Any]:
        return self._outer_config.producer

    def _command(self, *messages: SendableMessage, **given: Any) -> SqsPublishCommand:
        headers = {**(self.config.headers or {}), **(given.pop("headers", None) or {})}
        delay = given.pop("delay", self.config.delay)
        return SqsPublishCommand(*messages, queue=self.queue, delay=delay, headers=headers, **given)


class ReplyPublisher(FakePublisher):
    """Answers to the queue that a message's `reply_to` names."""

    def __init__(self, *, producer: ProducerProto[Any], queue: str) -> None:
        super().__init__(producer=producer)
        self._queue = queue

    def patch_command(self, cmd: PublishCommand) -> SqsPublishCommand:
        ours = SqsPublishCommand.from_cmd(super().patch_command(cmd))
        ours.destination = self._queue
        return ours
