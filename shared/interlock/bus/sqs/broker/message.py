"""A message as it is received, and what can be said of it: ack, nack, reject."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from faststream.message import StreamMessage

from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.wire import HEADERS, Packed, dumped, unpack

FIRST_DELAY = 1.0
MOST_DELAY = 900.0
"""Seconds until what was nacked comes again: `FIRST_DELAY * 2**(deliveries - 1)`, capped."""


@dataclass(slots=True, eq=False)
class Received:
    """A message of a queue, in the hand of one consumer until it is settled."""

    queue: str
    raw: Mapping[str, Any]
    """As `ReceiveMessage` answers it."""
    connection: Connection
    dead: str | None = None
    """Where it goes when it is rejected. None: SQS's own redrive policy sees to it."""
    settled: bool = False

    @property
    def receipt(self) -> str:
        receipt: str = self.raw["ReceiptHandle"]
        return receipt

    @property
    def deliveries(self) -> int:
        """How often it was received, this time included."""
        return int(self.raw.get("Attributes", {}).get("ApproximateReceiveCount", 1))

    async def ack(self) -> None:
        """Delete it, together with others."""
        await self.connection.deletes(self.queue).ask([self.receipt])
        self.settled = True

    async def nack(self, delay: float | None = None) -> None:
        """Let it come again, later each time."""
        growing = min(MOST_DELAY, FIRST_DELAY * 2.0 ** (self.deliveries - 1))
        wait = round(growing if delay is None else delay)
        await self.connection.show(self.queue, [self.receipt], wait)
        self.settled = True

    async def reject(self) -> None:
        """Copy it to the dead letters, then delete it."""
        if self.dead is None:
            return await self.nack()
        await self.connection.sends(self.dead).ask([self._copy()])
        return await self.ack()

    def _copy(self) -> Packed:
        attributes = {
            name: {key: value[key] for key in ("DataType", "StringValue") if key in value}
            for name, value in self.raw.get("MessageAttributes", {}).items()
        }
        size = len(self.raw["Body"].encode()) + len(dumped(attributes))
        return Packed(self.raw["Body"], attributes, size)


Raw: TypeAlias = Received | tuple[Received, ...]
"""What a subscriber handles: one, or a batch."""


def several(raw: Raw) -> tuple[Received, ...]:
    """Also of one."""
    return raw if isinstance(raw, tuple) else (raw,)


class SqsMessage(StreamMessage[Raw]):
    """One message, or a batch, which is acknowledged as one."""

    async def ack(self) -> None:
        if self.committed is None:
            await asyncio.gather(*(one.ack() for one in several(self.raw_message)))
        await super().ack()

    async def nack(self, delay: float | None = None) -> None:
        """`delay` in seconds; without one it grows with each delivery."""
        if self.committed is None:
            await asyncio.gather(*(one.nack(delay) for one in several(self.raw_message)))
        await super().nack()

    async def reject(self) -> None:
        if self.committed is None:
            await asyncio.gather(*(one.reject() for one in several(self.raw_message)))
        await super().reject()


async def parse(raw: Raw) -> StreamMessage[Raw]:
    """FastStream's view of it."""
    parts = [unpack(one.raw) for one in several(raw)]
    headers, body = parts[0]
    headers.pop(HEADERS, None)
    batch = isinstance(raw, tuple)
    return SqsMessage(
        raw_message=raw,
        body=[part for _, part in parts] if batch else body,
        headers=headers,
        batch_headers=[some for some, _ in parts] if batch else [],
        reply_to=headers.get("reply_to", ""),
        content_type=headers.get("content-type"),
        correlation_id=headers.get("correlation_id"),
        message_id=several(raw)[0].raw["MessageId"],
    )
