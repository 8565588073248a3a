"""Publishing: an idempotent producer, `acks=all`, and an answer within bounded time."""

import asyncio
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from aiokafka import errors

from interlock.bus.envelope import Raw
from interlock.bus.kafka.link import PATIENCE, Link, heard
from interlock.bus.kafka.names import Names
from interlock.bus.kafka.records import Outgoing, outgoing
from interlock.bus.kafka.trouble import AWAY, trouble
from interlock.errors import Refused, Unavailable

Futures = list["asyncio.Future[Any]"]
PUBLISH = "publish"


class Publisher:
    """All publishing of one process.

    What Kafka did not confirm in time stays with the producer, which tries on for ever, so that
    a repetition cannot overtake it. While such are left nothing more is taken in.
    """

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._left: set[asyncio.Future[Any]] = set()

    async def publish(self, messages: Sequence[Raw]) -> None:
        """Accepted once Kafka has confirmed each; else `Unavailable`, and perhaps some are."""
        await self.send([outgoing(self._names.topic(raw.topic), raw) for raw in messages])

    def check(self) -> None:
        """`Unavailable` while messages wait for a broker."""
        if self._left:
            raise Unavailable("the bus does not serve: Kafka confirms nothing")

    async def send(self, records: Sequence[Outgoing]) -> None:
        """The same for any records."""
        if not records:
            return
        self.check()
        futures: Futures = []
        parts: dict[str, int] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                producer = await self._link.producer()
                for record in records:
                    if (topic := record.topic) not in parts:
                        parts[topic] = len(await producer.partitions_for(topic))
                    futures.append(await _send(producer, record, parts[topic]))
                await asyncio.wait(futures)
        except AWAY as error:
            self._left.update(future for future in futures if not future.done())
            raise self._failed(error) from error
        finally:
            self._watch(futures)
        for future in futures:
            if (failure := future.exception()) is not None:
                raise self._failed(failure) from failure

    def _watch(self, futures: Futures) -> None:
        """Whoever waited may have gone: an error that comes yet is nobody's."""
        for future in futures:
            if future.done():
                heard(future)
            else:
                future.add_done_callback(self._left.discard)
                future.add_done_callback(heard)

    def _failed(self, error: BaseException) -> Exception:
        if isinstance(error, errors.KafkaError) and not error.retriable:
            self._link.renew()  # the numbers of its batches have a gap now
        if isinstance(error, errors.MessageSizeTooLargeError):
            return Refused("the message is larger than the bus takes", code="too_large")
        return trouble(error, PUBLISH)


async def _send(producer: Any, record: Outgoing, parts: int) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = await producer.send(
        record.topic,
        record.body,
        record.key,
        partition=crc32(record.key) % parts,
        headers=record.headers,
    )
    return future
