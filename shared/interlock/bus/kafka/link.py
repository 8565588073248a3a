"""This process's connections to Kafka, as FastStream's broker of the moment holds them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, TypeVar

from aiokafka import TopicPartition, errors
from aiokafka.conn import create_conn
from aiokafka.structs import OffsetAndMetadata
from faststream.kafka import KafkaBroker
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl
from faststream.kafka.security import parse_security

from interlock.bus.kafka.access import security, tokens
from interlock.bus.kafka.address import Address
from interlock.bus.kafka.trouble import AWAY, asking, hung_up, trouble
from interlock.errors import InterlockError, Unavailable

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds within which a broker that is there answers anything that does not block."""
TAKEN = 8 << 20
"""Bytes of the largest message that is taken."""
LARGEST = 10 << 20
"""Bytes of the largest record: a message with what we say of it when it fails."""
TOGETHER = 512 << 10
"""Bytes that may leave for one partition in one write."""
AGAIN = 0.1
"""Seconds between two tries of what is worth one."""
BYE = 2.0
"""Seconds that the client may take to stop."""


class Producing(AioKafkaFastProducerImpl):
    """FastStream's producer, of which we use the raw one; FastStream forgets it if it fails."""

    raw: Any = None

    async def connect(self, producer: Any, serializer: Any, codec: Any = None) -> None:
        try:
            await super().connect(producer, serializer, codec)
        except BaseException:
            await producer.stop()
            raise
        self.raw = producer


class Link:
    """Opened once. A producer that cannot go on is replaced behind its back."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._security = security(address)
        self._tokens = tokens(address)
        self._broker: KafkaBroker | None = None
        self._turn = asyncio.Lock()
        self._broken = False

    async def open(self) -> None:
        """Connect. `Refused` or `Unavailable` says why that cannot be."""
        _quieten()
        await self._knock()
        await self._connect()

    async def close(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            await ended(broker.stop())

    @property
    def admin(self) -> Any:
        """An `AIOKafkaAdminClient`; it finds its way back after each cut."""
        return self._opened.config.broker_config.admin_client

    @property
    def _opened(self) -> KafkaBroker:
        if self._broker is None:
            raise Unavailable("the bus is not open")
        return self._broker

    async def producer(self) -> Any:
        """An `AIOKafkaProducer` that works, as far as anybody knows."""
        if self._broken or self._broker is None:
            async with self._turn:
                if self._broken:
                    old, self._broker = self._broker, None
                    if old is not None:
                        await ended(old.stop())
                    await self._connect()
                    self._broken = False
        return self._opened.config.broker_config.producer._producer.producer  # type: ignore[attr-defined]  # FastStream hides it

    def renew(self) -> None:
        """The producer cannot go on: make another for whoever asks next."""
        self._broken = True

    def consumer(self, **given: Any) -> Any:
        """An `AIOKafkaConsumer`, not started, that neither commits nor skips by itself."""
        return self._opened.config.broker_config.builder(
            enable_auto_commit=False, auto_offset_reset="earliest", **given
        )

    async def ask(self, asked: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to what may be asked again and again, once there is one."""
        with asking(asked):
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        return await question()
                    except errors.KafkaError as error:
                        if not error.retriable:
                            raise
                    await asyncio.sleep(AGAIN)

    async def offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        """What the group has committed of each; `-1` where nothing."""

        async def look() -> Mapping[TopicPartition, OffsetAndMetadata]:
            asked = list(partitions)
            found = await self.admin.list_consumer_group_offsets(group, partitions=asked)
            if len(found) < len(asked):  # the client overlooks a coordinator that is moving
                raise errors.GroupCoordinatorNotAvailableError
            return dict(found)

        return await self.ask(f"read the offsets of group `{group}`", look)

    async def _connect(self) -> None:
        broker = KafkaBroker(
            list(self.address.hosts),
            client_id="interlock",
            security=self._security,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(PATIENCE * 1000),
            max_request_size=LARGEST,
            max_batch_size=TOGETHER,
            allow_auto_create_topics=False,
            graceful_timeout=None,
            apply_types=False,
            logger=None,
            **self._tokens,
        )
        broker.config.broker_config.producer = Producing(parser=None, decoder=None)
        try:
            with asking(f"open a producer at `{self.address.shown}`"):
                async with asyncio.timeout(PATIENCE):
                    await broker.connect()
        except BaseException:
            await ended(broker.stop())
            raise
        self._broker = broker

    async def _knock(self) -> None:
        """Whether one of the hosts lets us in: the client itself only logs why none does."""
        why: InterlockError = Unavailable("no broker is named")
        for place in self.address.hosts:
            host, _, port = place.rpartition(":")
            try:
                line = await create_conn(
                    host,
                    int(port),
                    request_timeout_ms=5000,
                    **parse_security(self._security),
                    **self._tokens,
                )
            except AWAY as error:
                why = trouble(error, f"reach Kafka at `{place}`")
                if self.address.encrypted and not self.address.cert and hung_up(error):
                    certificate = "where it asks for a certificate, name `cert=` and `key=`"
                    why = Unavailable(f"{why.detail}; {certificate}")
            else:
                line.close()
                return
        raise why


async def dismiss(consumer: Any) -> bool:
    """Stop it; whether it could say so to the group."""
    if await ended(consumer.stop()):
        return True
    await ended(consumer._client.close())  # where its stop fails, its connections stay
    return False


async def ended(stop: Coroutine[Any, Any, None]) -> bool:
    """Whether something of the client stopped in order: a broker that is away keeps nobody waiting.

    In a task of its own: aiokafka's consumer cancels a read, awaits it, and passes the cancellation
    on to whoever called `stop`, who would take it for his own and end.
    """
    work = asyncio.ensure_future(stop)
    try:
        await asyncio.wait([work], timeout=BYE)
    finally:
        work.cancel()
        work.add_done_callback(heard)
    return work.done() and not work.cancelled() and work.exception() is None


def heard(work: "asyncio.Future[Any]") -> None:
    """Its error is nobody's."""
    if not work.cancelled():
        work.exception()


def _quieten() -> None:
    """The client logs each failed try, some with traces; what matters is in our own errors.

    Where an application set up logging itself, it decides.
    """
    theirs = logging.getLogger("aiokafka")
    if not theirs.handlers:
        theirs.addHandler(logging.NullHandler())
