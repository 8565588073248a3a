"""SQS: ElasticMQ, in memory. It is not killed and never full: neither is a fault that SQS has."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.session import get_session

from interlock.bus.sqs.address import address
from interlock.bus.sqs.broker.wire import pack
from interlock.bus.sqs.entries import kept
from interlock.contracts.topics import topics_of
from tests.chaos.meddling import CONCERNS_ALL, Meddler
from tests.chaos.transports import Transport
from tests.components.elasticmq import CREDENTIALS, elasticmq
from tests.components.proxy import Proxy, Trap, proxied
from tests.components.suite import Suite

VISIBILITY = 4
"""Seconds."""
DEATHS = 2
"""So many leave with a message at most. One that five left with is parked, as it must be: whoever
takes one that has suffered this hands it on before it leaves."""


@dataclass
class Sqs(Transport):
    """Queues at one endpoint."""

    endpoint: str
    patience: float = VISIBILITY

    @property
    def url(self) -> str:
        return self._url(self.endpoint)

    def way(self, suite: Suite) -> AbstractContextManager[Proxy]:
        parts = urlsplit(self.endpoint)
        return proxied(lambda: (str(parts.hostname), int(parts.port or 80)))

    def behind(self, suite: Suite, proxy: Proxy) -> Mapping[str, str]:
        return {"INTERLOCK_BUS_URL": self._url(f"http://127.0.0.1:{proxy.port}")}

    def _url(self, endpoint: str) -> str:
        return f"sqs://elasticmq/chaos?endpoint={endpoint}&wait=1&visibility={VISIBILITY}"

    def meddler(self, suite: Suite, group: str) -> Meddler:
        return SqsMeddler(self.url, self.endpoint, group)

    def trap(self) -> Trap:
        """The first receipts that are deleted once something was sent."""
        sent_any = False

        def about_to_delete(sent: bytes) -> bool:
            nonlocal sent_any
            sent_any = sent_any or b"AmazonSQS.SendMessage" in sent
            return sent_any and b"AmazonSQS.DeleteMessage" in sent

        return Trap(about_to_delete, through=False)


@contextmanager
def sqs() -> Iterator[Sqs]:
    """A running server."""
    with elasticmq() as endpoint:
        yield Sqs(endpoint)


@dataclass
class SqsMeddler:
    """Of a group on SQS: one more who receives from its queues."""

    url: str
    endpoint: str
    group: str
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _taken: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """What is neither settled nor left with, by receipt."""

    async def join(self) -> None:
        known: dict[str, Any] = {
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        made = get_session().create_client(
            "sqs", region_name="elasticmq", endpoint_url=self.endpoint, **known
        )
        self._client: Any = await self._stack.enter_async_context(made)
        named = address(self.url)
        self._queues = [
            (await self._client.get_queue_url(QueueName=named.queue(topic, self.group)))["QueueUrl"]
            for topic in topics_of(self.group)
        ]

    async def take(self) -> Sequence[tuple[str, Any]]:
        async def of(queue: str) -> list[tuple[str, Any]]:
            got = await self._client.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                WaitTimeSeconds=0,
            )
            return [(queue, message) for message in got.get("Messages", ())]

        found = [one for some in await asyncio.gather(*map(of, self._queues)) for one in some]
        if not found:
            await asyncio.sleep(0.05)
        self._taken |= {one["ReceiptHandle"]: (queue, one) for queue, one in found}
        return found

    async def put(self, taken: Sequence[tuple[str, Any]]) -> None:
        for queue, message in taken:
            told = {
                name: {"DataType": said["DataType"], "StringValue": said["StringValue"]}
                for name, said in message.get("MessageAttributes", {}).items()
            }
            await self._client.send_message(
                QueueUrl=queue, MessageBody=message["Body"], MessageAttributes=told
            )

    async def junk(self, bodies: Sequence[bytes]) -> None:
        await self.join()
        for queue in self._queues:
            for body in bodies:
                packed = pack(CONCERNS_ALL, body)
                await self._client.send_message(
                    QueueUrl=queue,
                    MessageBody=packed.body,
                    MessageAttributes={**packed.attributes},
                )
        await self.leave()

    async def settle(self, taken: Sequence[tuple[str, Any]]) -> None:
        """One whose visibility is over by now is somebody else's: its receipt counts no more."""
        for queue, message in taken:
            with suppress(self._client.exceptions.ReceiptHandleIsInvalid):
                await self._client.delete_message(
                    QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"]
                )
            self._taken.pop(message["ReceiptHandle"], None)

    async def rest(self) -> None:
        """Nothing: who does not ask gets nothing."""

    async def leave(self) -> None:
        worn = [one for one in self._taken.values() if _deaths(one[1]) >= DEATHS]
        await self.put(worn)
        await self.settle(worn)
        self._taken.clear()
        await self._stack.aclose()


def _deaths(message: Any) -> int:
    """How many were gone with it before."""
    return kept(message).deaths + int(message["Attributes"]["ApproximateReceiveCount"]) - 1
