"""Publishing: each message to the queue of each group that reads its topic."""

import asyncio
from collections.abc import Mapping, Sequence

from interlock.bus.claims import Claims
from interlock.bus.envelope import Raw
from interlock.bus.sqs.address import Address
from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.broker.wire import Packed
from interlock.bus.sqs.entries import Kept, packed
from interlock.bus.sqs.faults import told
from interlock.contracts.topics import TOPOLOGY
from interlock.errors import Refused

FIRST = "audit"
"""Whose queue gets what nothing caused before any other does: were we to die between two, no
cause would come again, and the ledger has it."""


RESERVE = 8_192
"""Bytes below the limit that are left for what the bus adds to a message that is sent again."""


class TooLarge(Refused):
    """A message that no queue takes."""

    code = "too_large"


class Publisher:
    """All sending of one process."""

    def __init__(self, connection: Connection, address: Address, claims: Claims | None) -> None:
        self._connection = connection
        self._address = address
        self._most = address.limit - min(RESERVE, address.limit // 4)
        self._claims = claims

    async def publish(self, messages: Sequence[Raw]) -> None:
        """Accepted once SQS has answered for each; else `Unavailable`, and perhaps some are.

        `TooLarge`, and none is, where one is over the limit and there is no store of bodies.
        """
        first: dict[str, list[Packed]] = {}
        then: dict[str, list[Packed]] = {}
        for raw in messages:
            message = packed(raw)
            if message.size > self._most:
                message = await self._checked_in(raw)
            root = "ce_cause" not in raw.attributes
            for group in TOPOLOGY[raw.topic].groups:
                sends = first if root and group == FIRST else then
                sends.setdefault(self._address.queue(raw.topic, group), []).append(message)
        await self.send(first)
        await self.send(then)

    async def send(self, messages: Mapping[str, Sequence[Packed]]) -> None:
        """By queue, to all at once."""
        if not messages:
            return
        connection = self._connection
        sends = [connection.sends(queue).ask(some) for queue, some in messages.items()]
        await asyncio.wait(sends)
        for queue, error in [
            (q, sent.exception()) for q, sent in zip(messages, sends, strict=True)
        ]:
            with told(self._address.told, queue):
                if error is not None:
                    raise error

    def too_large(self, raw: Raw) -> bool:
        """Whether `publish` would refuse it."""
        return self._claims is None and packed(raw).size > self._most

    async def _checked_in(self, raw: Raw) -> Packed:
        if self._claims is None:
            raise TooLarge(
                f"message `{raw.id}` is larger than SQS takes (`{self._most}` bytes);"
                " name a store in the bus's URL: `bodies=s3://bucket/prefix`"
            )
        message = packed(raw, Kept(claim=await self._claims.put(raw.body)))
        if message.size > self._most:
            raise TooLarge(f"the attributes of message `{raw.id}` are larger than SQS takes")
        return message
