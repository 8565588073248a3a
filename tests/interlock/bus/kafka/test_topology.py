"""Topics as they are beside topics as they should be."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from interlock.bus import Group, on
from interlock.bus.kafka import KafkaBus
from interlock.bus.verdict import Surroundings
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.topics import TOPOLOGY
from interlock.testing.build import KEYRING, authenticated, raw
from tests.interlock.bus.harness import QUICK, Seen, clock, eventually, noting, open_kafka, running


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}.{id(request)}."


async def test_what_is_missing_is_planned_and_made(kafka_url: str, prefix: str) -> None:
    bus = KafkaBus(kafka_url, Surroundings(KEYRING, clock), prefix=prefix)
    await bus.open()
    missing = await bus.plan()
    assert len(missing) == sum(1 + 2 * len(spec.groups) for spec in TOPOLOGY.values())
    assert {(one.found, one.safe) for one in missing} == {("missing", True)}
    assert f"topic `{prefix}task.events.audit.dead`" in {one.what for one in missing}
    await bus.apply()
    assert await bus.plan() == []
    await bus.apply()
    await bus.close()


async def test_more_partitions_are_a_safe_change_and_fewer_are_not(
    kafka_url: str, prefix: str
) -> None:
    async with open_kafka(kafka_url, None, prefix) as bus:
        assert await bus.plan() == []
    more = kafka_url.replace("partitions=2", "partitions=3")
    grown = KafkaBus(more, Surroundings(KEYRING, clock), prefix=prefix)
    await grown.open()
    told = {one.what: one for one in await grown.plan()}
    change = told[f"topic `{prefix}task.events`"]
    assert (change.found, change.wanted, change.safe) == ("partitions=2", "partitions=3", True)
    await grown.apply()
    assert await grown.plan() == []
    await grown.close()
    shrunk = KafkaBus(kafka_url, Surroundings(KEYRING, clock), prefix=prefix)
    await shrunk.open()
    refused = await shrunk.plan()
    await shrunk.apply()
    assert [one.safe for one in refused] == [False] * len(refused)
    assert all(one.todo for one in refused)
    assert await shrunk.plan() == refused
    await shrunk.close()


async def test_settings_that_lose_messages_are_set_right_and_others_are_left_alone(
    kafka_url: str, prefix: str
) -> None:
    topic = f"{prefix}task.events"
    hosts = kafka_url.partition("//")[2].partition("?")[0]
    async with open_kafka(kafka_url, None, prefix) as bus:
        admin = AIOKafkaAdminClient(bootstrap_servers=hosts)
        await admin.start()
        wrong = {"retention.ms": "1000", "message.timestamp.type": "CreateTime"}
        theirs = {"segment.bytes": "1048576"}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {**wrong, **theirs})]
        )
        changes = await eventually(bus.plan, lambda some: len(some) >= 2)
        assert {one.found for one in changes} >= {"retention.ms=1000"}
        assert {one.what for one in changes} == {f"topic `{topic}`"}
        await bus.apply()
        assert await eventually(bus.plan, lambda some: not some) == []
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        kept = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        assert kept["segment.bytes"] == "1048576"
        await admin.close()


async def test_messages_on_new_partitions_are_read_from_the_beginning(
    kafka_url: str, redis_url: str, prefix: str
) -> None:
    seen = Seen()
    group = Group("policy", [on(TaskAuthenticated, noting(seen))], limits=QUICK)
    names = {f"task-{n}" for n in range(60)}
    hosts = kafka_url.partition("//")[2].partition("?")[0]
    async with open_kafka(kafka_url, redis_url, prefix) as bus:
        async with running(bus, group):
            await bus.publish([raw(authenticated("first"))])
            await seen.count(1)
        admin = AIOKafkaAdminClient(bootstrap_servers=hosts)
        await admin.start()
        await admin.create_partitions({f"{prefix}task.authenticated": NewPartitions(8, None)})
        await admin.close()
    async with open_kafka(kafka_url, redis_url, prefix) as bus:
        await bus.publish([raw(authenticated(name)) for name in names])
        async with running(bus, group):
            got = await seen.count(61)
    assert {event.body.task.id for event in got} == names | {"first"}
