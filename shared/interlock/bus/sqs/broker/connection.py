"""SQS through aioboto3: queues by name, and everything by ten.

A call costs much CPU whatever it carries, so each carries all that it may; and those that carry
messages are made without the client's machinery: see `Calls`. Raises what botocore raises, and
`PartlyRefused`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aioboto3  # type: ignore[import-untyped]  # it has no types
from aiobotocore.config import AioConfig

from interlock.bus.sqs.broker.calls import Calls
from interlock.bus.sqs.broker.lanes import TEN, Lanes
from interlock.bus.sqs.broker.wire import Packed

TRIES = 4
"""Calls for those of a batch that failed through no fault of the sender."""
SYSTEM = ["ApproximateReceiveCount", "SentTimestamp"]
GONE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
"""Why a receipt no longer works: its message was deleted, or has been delivered anew."""

Message = Mapping[str, Any]
"""As `ReceiveMessage` answers it, in JSON: what an attribute has of bytes is base64."""


@dataclass(frozen=True)
class Place:
    """Where SQS is, and how long to wait for it. Seconds.

    What is None comes from the standard AWS variables and files.
    """

    region: str | None = None
    endpoint: str | None = None
    connect_timeout: float = 2.0
    read_timeout: float = 5.0
    max_wait: int = 20
    """The longest poll."""
    batch_bytes: int = 1_048_576
    """What one call may carry in all; older endpoints allow 262,144."""


class PartlyRefused(Exception):
    """Some entries of a batch were not accepted; `retry` tells whether a repeat may help."""

    def __init__(self, code: str, reason: str, retry: bool) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.retry = retry


class NotSqs(Exception):
    """Whoever answers does not do it as SQS does."""


class Connection:
    """Two clients: a poll may last longer than any other answer."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._session = aioboto3.Session()
        self._calls = Calls(self._session)
        self._stack = AsyncExitStack()
        self._clients: dict[float, Any] = {}
        self._making = asyncio.Lock()
        self._urls: dict[str, str] = {}
        self._sends: dict[str, Lanes[Packed]] = {}
        self._deletes: dict[str, Lanes[str]] = {}

    async def client(self, read_timeout: float | None = None) -> Any:
        """An aiobotocore client of SQS, made once for each time limit."""
        timeout = read_timeout or self.place.read_timeout
        async with self._making:
            if timeout not in self._clients:
                config = AioConfig(
                    connect_timeout=self.place.connect_timeout,
                    read_timeout=timeout,
                    max_pool_connections=64,
                    user_agent="interlock",  # else put together anew, twice a call
                    parameter_validation=False,  # a third of a call's cost; our types hold it
                    retries={"total_max_attempts": 1},  # who calls knows what may be repeated
                )
                made = self._session.client(
                    "sqs",
                    region_name=self.place.region,
                    endpoint_url=self.place.endpoint,
                    config=config,
                )
                self._clients[timeout] = await self._stack.enter_async_context(made)
        return self._clients[timeout]

    async def close(self) -> None:
        """What was asked is answered first; nothing else may be under way."""
        for sends in self._sends.values():
            await sends.drain()
        for deletes in self._deletes.values():
            await deletes.drain()
        self._clients.clear()
        self._urls.clear()
        await self._stack.aclose()

    async def regions(self) -> list[str]:
        """Those that the client knows; there may be newer ones."""
        known: list[str] = await self._session._session.get_available_regions("sqs")
        return known

    async def url(self, queue: str) -> str:
        """Asked once for each queue."""
        if (known := self._urls.get(queue)) is None:
            client = await self.client()
            answer = await client.get_queue_url(QueueName=queue)
            if "QueueUrl" not in answer:
                raise NotSqs(queue)
            known = self._urls[queue] = answer["QueueUrl"]
        return known

    def forget(self, queue: str) -> None:
        """It may be made anew elsewhere."""
        self._urls.pop(queue, None)

    async def receive(self, queue: str, most: int, wait: int, visibility: int) -> list[Message]:
        """At most ten; none after `wait` seconds without any.

        Do not cancel it: what SQS gives out to nobody comes back only when its visibility ends.
        """
        asked = {
            "QueueUrl": await self.url(queue),
            "MaxNumberOfMessages": min(TEN, most),
            "WaitTimeSeconds": wait,
            "VisibilityTimeout": visibility,
            "MessageAttributeNames": ["All"],
            "MessageSystemAttributeNames": SYSTEM,
        }
        client = await self.client(self.place.max_wait + self.place.read_timeout)
        answer = await self._calls(client, "ReceiveMessage", asked)
        return answer.get("Messages") or []

    async def gather(self, queue: str, most: int, wait: int, visibility: int) -> list[Message]:
        """Waits for the first; what else is there comes with it. Do not cancel it either.

        A full answer has more behind it, so the number of reads at once doubles while all are.
        """
        got = await self.receive(queue, most, wait, visibility)
        reads, full = 1, len(got) == TEN
        while full and len(got) < most:
            wanted = min(reads, -(-(most - len(got)) // TEN))
            answers = await asyncio.gather(
                *(self.receive(queue, most - len(got), 0, visibility) for _ in range(wanted)),
                return_exceptions=True,
            )
            lists = [one for one in answers if isinstance(one, list)]  # the rest fails again soon
            got += [message for some in lists for message in some]
            full = len(lists) == wanted and all(len(some) == TEN for some in lists)
            reads *= 2
        return got

    def sends(self, queue: str) -> Lanes[Packed]:
        """Where messages for a queue are given to leave together."""
        if queue not in self._sends:
            most = self.place.batch_bytes
            self._sends[queue] = Lanes(
                lambda messages: self.send(queue, messages), lambda few: fitting(few, most)
            )
        return self._sends[queue]

    def deletes(self, queue: str) -> Lanes[str]:
        """Where receipts are given to be deleted together."""
        if queue not in self._deletes:
            self._deletes[queue] = Lanes(lambda some: self.delete(queue, some), len)
        return self._deletes[queue]

    async def send(self, queue: str, messages: Sequence[Packed]) -> None:
        """At most ten, and no more than a call may carry: see `fitting`."""
        entries = [message.entry(str(at)) for at, message in enumerate(messages)]
        await self._by_ten(queue, "SendMessageBatch", entries)

    async def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Any number. Those that are gone already are no error."""
        entries = [{"Id": str(at), "ReceiptHandle": one} for at, one in enumerate(receipts)]
        await self._by_ten(queue, "DeleteMessageBatch", entries, GONE)

    async def show(self, queue: str, receipts: Sequence[str], after: int) -> None:
        """Any number: they are visible to others after so many seconds from now."""
        entries = [
            {"Id": str(at), "ReceiptHandle": one, "VisibilityTimeout": after}
            for at, one in enumerate(receipts)
        ]
        await self._by_ten(queue, "ChangeMessageVisibilityBatch", entries, GONE)

    async def attributes(self, queue: str) -> dict[str, str]:
        """All that SQS tells of a queue."""
        client = await self.client()
        answer = await client.get_queue_attributes(
            QueueUrl=await self.url(queue), AttributeNames=["All"]
        )
        told: dict[str, str] = answer.get("Attributes", {})
        return told

    async def _by_ten(
        self,
        queue: str,
        operation: str,
        entries: list[Any],
        harmless: frozenset[str] = frozenset(),
    ) -> None:
        url = await self.url(queue)
        tens = [entries[at : at + TEN] for at in range(0, len(entries), TEN)]
        if len(tens) == 1:
            return await self._whole(url, operation, tens[0], harmless)
        await asyncio.gather(*(self._whole(url, operation, ten, harmless) for ten in tens))
        return None

    async def _whole(
        self, url: str, operation: str, entries: list[Any], harmless: frozenset[str]
    ) -> None:
        """Repeat those that failed, by their ids, until none did."""
        client = await self.client()
        for attempt in range(TRIES):
            asked = {"QueueUrl": url, "Entries": entries}
            answer = await self._calls(client, operation, asked)
            failed = [one for one in answer.get("Failed") or () if one["Code"] not in harmless]
            if not failed:
                return
            first = failed[0]
            if fatal := next((one for one in failed if one.get("SenderFault")), None):
                raise PartlyRefused(fatal["Code"], fatal.get("Message", ""), retry=False)
            names = {one["Id"] for one in failed}
            entries = [entry for entry in entries if entry["Id"] in names]
            await asyncio.sleep(0.05 * 2.0**attempt)
        raise PartlyRefused(first["Code"], first.get("Message", ""), retry=True)


def fitting(messages: Sequence[Packed], most_bytes: int) -> int:
    """How many of the first one call carries; always one, which SQS may refuse."""
    size = 0
    for count, message in enumerate(messages):
        size += message.size
        if count and size > most_bytes:
            return count
    return len(messages)
