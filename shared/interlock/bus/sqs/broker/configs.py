"""What a broker, a subscriber and a publisher are told."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from faststream import AckPolicy
from faststream._internal.configs import (
    BrokerConfig,
    PublisherSpecificationConfig,
    PublisherUsecaseConfig,
    SubscriberSpecificationConfig,
    SubscriberUsecaseConfig,
)
from faststream._internal.constants import EMPTY
from faststream._internal.parser import DefaultCodec
from faststream.message import StreamMessage

from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.message import parse, several


@dataclass(kw_only=True)
class SqsBrokerConfig(BrokerConfig):
    """With the connection that all share."""

    connection: Connection


@dataclass(frozen=True)
class Reading:
    """How a queue is read. Seconds."""

    batch: bool = False
    max_records: int = 10
    """Messages of one batch, at most."""
    max_workers: int = 1
    """Messages, or batches, handled at once."""
    wait: int = 5
    """How long one read waits, and so how long a stop may take at rest."""
    visibility: int = 30
    """For how long others do not see what is being handled; prolonged while it is."""
    dead: str | None = None
    """The queue of what is rejected. None: SQS's redrive policy sees to it."""


async def decode_batch(message: StreamMessage[Any]) -> list[Any]:
    """Each of the batch by itself."""
    codec = DefaultCodec()
    return [await codec.decode(await parse(one)) for one in several(message.raw_message)]


@dataclass(kw_only=True)
class SqsSubscriberConfig(SubscriberUsecaseConfig):
    """The ack policy is NACK_ON_ERROR unless another is given: nothing is lost by an error."""

    _outer_config: SqsBrokerConfig
    queue: str
    reading: Reading
    parser: Callable[[Any], Awaitable[Any]] = field(default=parse)
    decoder: Callable[[Any], Awaitable[Any]] = field(default=DefaultCodec().decode)

    def __post_init__(self) -> None:
        if self.reading.batch:
            self.decoder = decode_batch

    @property
    def ack_policy(self) -> AckPolicy:
        if self._ack_policy is not EMPTY:
            return self._ack_policy
        outer = self._outer_config.ack_policy
        return AckPolicy.NACK_ON_ERROR if outer is EMPTY else outer


@dataclass(kw_only=True)
class SqsSubscriberSpecificationConfig(SubscriberSpecificationConfig):
    queue: str


@dataclass(kw_only=True)
class SqsPublisherConfig(PublisherUsecaseConfig):
    _outer_config: SqsBrokerConfig
    queue: str
    delay: int = 0
    headers: dict[str, str] | None = None


@dataclass(kw_only=True)
class SqsPublisherSpecificationConfig(PublisherSpecificationConfig):
    queue: str
