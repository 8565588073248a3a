"""What a message costs through our bus on SQS, beside aioboto3's batches in the same run.

`python -m tests.bench.bus_sqs` prints JSON: CPU of this process, microseconds a message. The raw
client sends, reads and deletes by ten, the same bytes to the same number of queues, and is spared
the checks of its parameters.
"""

import asyncio
import os
import secrets
from typing import Any

import orjson

from interlock.bus import Raw
from interlock.bus.sqs import SqsBus
from interlock.bus.sqs.address import address
from interlock.bus.sqs.broker import Connection
from interlock.contracts.topics import Topic
from interlock.testing.build import authenticated, noon, raw
from tests.bench.bus import BATCH, BODY, cpu, measure, our_consume, our_publish, report, stranger
from tests.components.elasticmq import CREDENTIALS, elasticmq

MESSAGES = 2_000
ROUNDS = 3
TEN = 10
AT_ONCE = 8


async def raw_publish(client: Any, urls: list[str], messages: list[Raw]) -> None:
    async def send(url: str, ten: list[Raw]) -> None:
        entries = [
            {
                "Id": str(at),
                "MessageBody": one.body.decode(),
                "MessageAttributes": {
                    "headers": {
                        "DataType": "String",
                        "StringValue": orjson.dumps(one.attributes).decode(),
                    }
                },
            }
            for at, one in enumerate(ten)
        ]
        await client.send_message_batch(QueueUrl=url, Entries=entries)

    for at in range(0, len(messages), BATCH):
        batch = messages[at : at + BATCH]
        tens = [batch[n : n + TEN] for n in range(0, len(batch), TEN)]
        await asyncio.gather(*(send(url, ten) for url in urls for ten in tens))


async def raw_consume(client: Any, url: str) -> None:
    left = [MESSAGES]

    async def read() -> None:
        while left[0] > 0:
            left[0] -= TEN
            answer = await client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=TEN,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
            messages = answer.get("Messages", [])
            for one in messages:
                orjson.loads(one["Body"])
                orjson.loads(one["MessageAttributes"]["headers"]["StringValue"])
            entries = [
                {"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]}
                for at, one in enumerate(messages)
            ]
            if entries:
                await client.delete_message_batch(QueueUrl=url, Entries=entries)
            left[0] += TEN - len(messages)

    await asyncio.gather(*(read() for _ in range(AT_ONCE)))


async def one_round(endpoint: str) -> dict[str, float]:
    messages = [raw(authenticated(f"task-{n}", arguments=BODY), cause="c") for n in range(MESSAGES)]
    url = f"sqs://elasticmq/{secrets.token_hex(4)}?endpoint={endpoint}&wait=1&visibility=300"
    connection = Connection(address(url).place)
    client = await connection.client()
    urls = [
        (await client.create_queue(QueueName=f"raw-{secrets.token_hex(4)}"))["QueueUrl"]
        for _ in ("policy", "audit")
    ]
    figures = {"raw_publish": await cpu(lambda: raw_publish(client, urls, messages), MESSAGES)}
    figures["raw_consume"] = await cpu(lambda: raw_consume(client, urls[0]), MESSAGES)
    bus = SqsBus(url, stranger(), noon)
    await bus.open()
    await bus.apply()
    first, rest = messages[:1], messages[1:]
    await our_publish(bus, first)  # which asks where the queues are
    figures["publish"] = await cpu(lambda: our_publish(bus, rest), len(rest))
    figures["consume"] = await our_consume(bus, effects=False, messages=MESSAGES)
    await our_publish(bus, messages)
    figures["consume_and_state"] = await our_consume(bus, effects=True, messages=MESSAGES)
    for queue in (*urls, *(address(url).queue(Topic.TASK_AUTHENTICATED, g) for g in ("audit",))):
        await client.delete_queue(QueueUrl=queue if "://" in queue else await connection.url(queue))
    await bus.close()
    await connection.close()
    return figures


async def run() -> dict[str, Any]:
    """The best of each figure, beside what was promised."""
    os.environ.update(CREDENTIALS)
    with elasticmq() as endpoint:
        rounds = [await one_round(endpoint) for _ in range(ROUNDS)]
    return report(rounds)


if __name__ == "__main__":
    measure(run)
