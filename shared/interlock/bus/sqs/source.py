"""One queue of a group, as a member reads it."""

from dataclasses import dataclass
from typing import Any

from interlock.bus.claims import Claims
from interlock.bus.outcome import Delivery
from interlock.bus.sqs.address import Address
from interlock.bus.sqs.broker.connection import Connection
from interlock.bus.sqs.entries import delivery
from interlock.bus.sqs.faults import told
from interlock.contracts.topics import Topic
from interlock.errors import Unreadable


@dataclass(frozen=True)
class Reach:
    """SQS, and how the bus's queues are called there."""

    connection: Connection
    address: Address
    claims: Claims | None


class Source:
    """Gathers what waits, up to a batch."""

    def __init__(self, reach: Reach, topic: Topic, group: str) -> None:
        self.topic = topic
        self.queue = reach.address.queue(topic, group)
        self._reach = reach
        self._careful = False
        """A message may have ended the process: one at a time, until one comes that has not."""

    async def fetch(self, most: int) -> list[Delivery]:
        """Waits for the first; what else is there comes with it. Do not cancel it."""
        connection, address = self._reach.connection, self._reach.address
        most = 1 if self._careful else most
        with told(address.told, self.queue):
            got = await connection.gather(self.queue, most, address.wait, address.visibility)
        deliveries = [delivery(message, self.queue, self.topic) for message in got]
        if deliveries:
            self._careful = any(one.killed for one in deliveries)
        return deliveries


async def fetched(reach: Reach, claim: Any) -> bytes:
    """The body of that name."""
    if reach.claims is None:
        raise Unreadable(
            f"the body `{claim}` lies in a store that this process does not know; name it in the"
            " bus's URL: `bodies=s3://bucket/prefix`"
        )
    return await reach.claims.get(str(claim))
