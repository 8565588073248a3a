"""FastStream's way of testing handlers without a server: what is published is handled at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from faststream._internal.testing.broker import TestBroker, change_producer
from faststream.message import gen_cor_id

from interlock.bus.sqs.broker.broker import SqsBroker
from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.message import Raw, Received
from interlock.bus.sqs.broker.producer import SqsProducer
from interlock.bus.sqs.broker.publisher import SqsPublisher
from interlock.bus.sqs.broker.response import SqsPublishCommand
from interlock.bus.sqs.broker.subscriber import SqsSubscriber
from interlock.bus.sqs.broker.wire import Packed


class TestSqsBroker(TestBroker[SqsBroker, SqsBroker], broker=SqsBroker):
    """No wire, no order, no redelivery, no concurrency: fit for unit tests of handlers."""

    def create_publisher_fake_subscriber(
        self, broker: SqsBroker, publisher: SqsPublisher
    ) -> tuple[SqsSubscriber, bool]:
        for one in broker.subscribers:
            if isinstance(one, SqsSubscriber) and one.queue == publisher.queue:
                return one, True
        return broker.subscriber(publisher.config.queue, persistent=False), False

    @contextmanager
    def _patch_producer(self, broker: SqsBroker) -> Iterator[None]:
        with change_producer(broker.config.broker_config, FakeProducer(broker)):
            yield

    async def _fake_connect(self, broker: SqsBroker, *args: Any, **kwargs: Any) -> None: ...


class Unsent(Received):
    """Lies in no queue: settling it is only noted."""

    __slots__ = ()

    async def ack(self) -> None:
        self.settled = True

    async def nack(self, delay: float | None = None) -> None:
        self.settled = True

    async def reject(self) -> None:
        self.settled = True


class FakeProducer(SqsProducer):
    """Packs as the real one does, and hands over what would arrive."""

    def __init__(self, broker: SqsBroker) -> None:
        config = broker.config
        connection: Connection = config.connection
        super().__init__(connection, config.fd_config, config.broker_codec, gen_cor_id)
        self._broker = broker
        self._numbers = count(1)

    async def publish_batch(self, cmd: SqsPublishCommand) -> None:
        messages = [self._arrived(one) for one in await self.packed(cmd)]
        for one in self._broker.subscribers:
            if not isinstance(one, SqsSubscriber) or one.queue != cmd.destination:
                continue
            received = [Unsent(one.queue, message, self._connection) for message in messages]
            raws: list[Raw] = [tuple(received)] if one.batch else [*received]
            for raw in raws:
                await one.process_message(raw)

    def _arrived(self, sent: Packed) -> dict[str, Any]:
        number = str(next(self._numbers))
        return {
            "MessageId": number,
            "ReceiptHandle": number,
            "Body": sent.body,
            "MessageAttributes": sent.attributes,
            "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
        }
