"""A subscriber: reads its queue, has each message or batch handled, and keeps it meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from faststream import StreamMessage
from faststream._internal.endpoint.publisher import PublisherProto
from faststream._internal.endpoint.subscriber import SubscriberSpecification, SubscriberUsecase
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream._internal.endpoint.utils import process_msg
from faststream.specification.asyncapi.utils import resolve_payloads
from faststream.specification.schema import Message, Operation, SubscriberSpec
from faststream.specification.schema.bindings import ChannelBinding, sqs

from interlock.bus.sqs.broker.configs import (
    SqsBrokerConfig,
    SqsSubscriberConfig,
    SqsSubscriberSpecificationConfig,
)
from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.message import Raw, Received, several
from interlock.bus.sqs.broker.publisher import ReplyPublisher

PAUSE = 1.0
"""Seconds after which a read that failed is tried again."""


class SqsSubscriberSpecification(
    SubscriberSpecification[SqsBrokerConfig, SqsSubscriberSpecificationConfig]
):
    @property
    def queue(self) -> str:
        return f"{self._outer_config.prefix}{self.config.queue}"

    @property
    def channel_labels(self) -> list[str]:
        return [self.queue]

    def get_schema(self) -> dict[str, SubscriberSpec]:
        payload = resolve_payloads(self.get_payloads())
        message = Message(title=f"{self.name}:Message", payload=payload)
        return {
            self.name: SubscriberSpec(
                address=self.queue,
                description=self.description,
                operation=Operation(message=message, bindings=None),
                bindings=ChannelBinding(sqs=sqs.ChannelBinding(queue={"name": self.queue})),
            )
        }


class SqsSubscriber(SubscriberUsecase[Raw]):
    """One loop reads, as much as there are free workers for; another prolongs what is in work."""

    _outer_config: SqsBrokerConfig

    def __init__(
        self,
        config: SqsSubscriberConfig,
        specification: SubscriberSpecification[Any, Any],
        calls: CallsCollection[Raw],
    ) -> None:
        super().__init__(config, specification, calls)
        self.config = config
        self._free = asyncio.Semaphore(config.reading.max_workers)
        self._hand: dict[str, Received] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []

    @property
    def queue(self) -> str:
        return f"{self._outer_config.prefix}{self.config.queue}"

    @property
    def _connection(self) -> Connection:
        return self._outer_config.connection

    async def start(self) -> None:
        await super().start()
        self._post_start()
        if self.calls:
            self._loops = [asyncio.create_task(self._read()), asyncio.create_task(self._prolong())]

    async def stop(self) -> None:
        """Handlers end, within the graceful timeout; what none has begun or ended goes back."""
        await super().stop()
        if self._loops:
            reading, prolonging = self._loops
            self._loops = []
            for worker in self._workers - {asyncio.current_task()}:
                worker.cancel()
            await asyncio.wait([reading])  # what a read that is cut is given would stay hidden
            prolonging.cancel()
        left = [one for one in self._hand.values() if not one.settled]
        self._hand.clear()
        await self._give_back(left)

    # -- reading --------------------------------------------------------------------------------

    async def _read(self) -> None:
        while self.running:
            await self._free.acquire()
            try:
                got = await self._receive() if self.running else []
            except Exception as error:  # noqa: BLE001 - whatever it is, reading goes on
                self._log(logging.ERROR, f"`{self.queue}` cannot be read", exc_info=error)
                await asyncio.sleep(PAUSE)
                got = []
            self._free.release()
            if self.running:  # else `stop` gives it back
                await self._hand_out(got)

    async def _receive(self) -> list[Received]:
        reading = self.config.reading
        most = reading.max_records if reading.batch else min(10, 1 + self._free._value)
        messages = await self._connection.gather(self.queue, most, reading.wait, reading.visibility)
        got = [Received(self.queue, one, self._connection, reading.dead) for one in messages]
        self._hand.update({one.receipt: one for one in got})
        return got

    async def _hand_out(self, got: Sequence[Received]) -> None:
        some: Sequence[Raw] = got
        if self.config.reading.batch:
            some = [tuple(got)] if got else []
        for raw in some:
            await self._free.acquire()
            worker = asyncio.create_task(self._work(raw))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self, raw: Raw) -> None:
        try:
            await self.consume(raw)
        finally:
            self._free.release()
            if self.running:
                for one in several(raw):
                    self._hand.pop(one.receipt, None)

    async def _prolong(self) -> None:
        visibility = self.config.reading.visibility
        while True:
            before = set(self._hand)
            await asyncio.sleep(visibility / 3)
            receipts = list(before & self._hand.keys())
            try:
                if receipts:
                    await self._connection.show(self.queue, receipts, visibility)
            except Exception as error:  # noqa: BLE001 - it is tried again
                self._log(logging.WARNING, f"`{self.queue}` cannot be kept", exc_info=error)

    async def _give_back(self, some: Sequence[Received]) -> None:
        if some:
            await self._connection.show(self.queue, [one.receipt for one in some], 0)

    # -- one at a time, on request --------------------------------------------------------------

    async def get_one(
        self,
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - FastStream's own
    ) -> "StreamMessage[Raw] | None":
        """The next message, to be acknowledged by hand; None if none came in time (seconds)."""
        reading = self.config.reading
        messages = await self._connection.receive(
            self.queue, 1, min(20, max(0, round(timeout))), reading.visibility
        )
        if not messages:
            return None
        raw = Received(self.queue, messages[0], self._connection, reading.dead)
        context = self._outer_config.fd_config.context
        parser, decoder = self._get_parser_and_decoder()
        message: StreamMessage[Raw] | None = await process_msg(
            msg=raw,
            middlewares=(m(raw, context=context) for m in self._broker_middlewares),
            parser=parser,
            decoder=decoder,
        )
        return message

    async def __aiter__(self) -> AsyncIterator["StreamMessage[Raw]"]:
        while True:
            if message := await self.get_one():
                yield message

    def _make_response_publisher(self, message: "StreamMessage[Raw]") -> Sequence[PublisherProto]:
        return (ReplyPublisher(producer=self._outer_config.producer, queue=message.reply_to),)

    def get_log_context(self, message: "StreamMessage[Raw] | None") -> dict[str, str]:
        return {"queue": self.queue, "message_id": getattr(message, "message_id", "")}

    @property
    def batch(self) -> bool:
        return self.config.reading.batch
