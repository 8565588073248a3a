"""What a message costs through our bus on Kafka, beside aiokafka's batches in the same run.

`python -m tests.bench.bus_kafka` prints JSON: CPU of this process, microseconds a message.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from interlock.bus import Raw
from interlock.bus.kafka import KafkaBus
from interlock.bus.kafka.address import parse
from interlock.bus.kafka.link import TOGETHER
from interlock.bus.verdict import Surroundings
from interlock.embedded import valkey
from interlock.testing.build import noon
from tests.bench.bus import (
    BATCH,
    MESSAGES,
    ROUNDS,
    cpu,
    made,
    measure,
    our_consume,
    our_publish,
    stranger,
)
from tests.bench.bus import report as reported
from tests.components.kafka import PATIENT, kafka
from tests.components.scratch import quick_folder


async def raw_publish(producer: Any, topic: str, messages: list[Raw]) -> None:
    for at in range(0, len(messages), BATCH):
        futures = [
            await producer.send(
                topic,
                message.body,
                key=message.attributes["ce_subject"].encode(),
                headers=[(name, value.encode()) for name, value in message.attributes.items()],
            )
            for message in messages[at : at + BATCH]
        ]
        await asyncio.wait(futures)


async def raw_consume(consumer: Any) -> None:
    left = MESSAGES
    while left:
        for records in (await consumer.getmany(timeout_ms=500, max_records=BATCH)).values():
            for record in records:
                orjson.loads(record.value)
            left -= len(records)
        await consumer.commit()


async def raw_round(hosts: str, topic: str, messages: list[Raw]) -> dict[str, float]:
    admin = AIOKafkaAdminClient(bootstrap_servers=hosts)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    strict = {"acks": "all", "enable_idempotence": True, "max_batch_size": TOGETHER}
    async with AIOKafkaProducer(bootstrap_servers=hosts, **strict) as producer:
        await producer.partitions_for(topic)
        publish = await cpu(lambda: raw_publish(producer, topic, messages))
    careful = {"auto_offset_reset": "earliest", "enable_auto_commit": False}
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=hosts, group_id=topic, **careful)
    async with consumer:
        await consumer.getmany(timeout_ms=500, max_records=1)  # it has joined
        await consumer.seek_to_beginning()
        consume = await cpu(lambda: raw_consume(consumer))
    return {"raw_publish": publish, "raw_consume": consume}


async def our_round(url: str, redis_url: str, prefix: str, effects: bool) -> dict[str, float]:
    messages = made()
    bus = KafkaBus(url, Surroundings(stranger(), noon), prefix=prefix, redis_url=redis_url)
    await bus.open()
    await bus.apply()
    await our_publish(bus, messages[:1])
    publish = await cpu(lambda: our_publish(bus, messages[1:]))
    consume = await our_consume(bus, effects=effects)
    await bus.close()
    if effects:
        return {"consume_and_state": consume}
    return {"publish": publish, "consume": consume}


async def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, quick_folder(Path(folder) / "kafka") as data:
        with kafka(data, PATIENT) as broker:
            async with valkey(Path(folder) / "valkey") as server:
                hosts = ",".join(parse(broker.url).hosts)
                rounds = []
                for n in range(ROUNDS):
                    rounds.append(
                        await raw_round(hosts, f"raw{n}", made())
                        | await our_round(broker.url, server.url, f"a{n}:", effects=False)
                        | await our_round(broker.url, server.url, f"b{n}:", effects=True)
                    )
    return reported(rounds)


if __name__ == "__main__":
    measure(run)
