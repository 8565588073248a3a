"""Our FastStream broker: as any of FastStream's own, on its TestBroker and on a real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from faststream import AckPolicy
from faststream.exceptions import FeatureNotSupportedException, NackMessage, RejectMessage
from faststream.specification.asyncapi import AsyncAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel

from interlock.bus.sqs.address import address
from interlock.bus.sqs.broker import (
    Place,
    Reading,
    SqsBroker,
    SqsMessage,
    SqsResponse,
    SqsRouter,
)
from interlock.bus.sqs.broker.opentelemetry import SqsTelemetryMiddleware
from interlock.bus.sqs.broker.prometheus import SqsPrometheusMiddleware
from interlock.bus.sqs.broker.testing import TestSqsBroker
from tests.components.ports import lasting_port
from tests.interlock.bus.harness import Seen, eventually

SHORT = Reading(wait=1)


class Order(BaseModel):
    number: int


# -- on FastStream's TestBroker ------------------------------------------------------------------


async def test_a_handler_gets_what_its_type_says_and_its_answer_goes_on() -> None:
    broker, seen = SqsBroker(), Seen()

    @broker.subscriber("orders")
    @broker.publisher("bills")
    async def bill(order: Order) -> dict[str, int]:
        return {"total": order.number * 2}

    @broker.subscriber("bills")
    async def note(message: dict[str, int]) -> None:
        await seen.add(message)

    async with TestSqsBroker(broker):
        await broker.publish(Order(number=4), "orders")
    assert seen.items == [{"total": 8}]


async def test_a_batch_is_handled_as_one() -> None:
    broker, seen = SqsBroker(), Seen()

    @broker.subscriber("orders", Reading(batch=True))
    async def note(orders: list[Order]) -> None:
        await seen.add([order.number for order in orders])

    async with TestSqsBroker(broker):
        await broker.publish_batch(*(Order(number=n) for n in range(3)), queue="orders")
    assert seen.items == [[0, 1, 2]]


async def test_a_publisher_can_be_asked_what_was_sent() -> None:
    broker = SqsBroker()
    publisher = broker.publisher("bills", headers={"kind": "bill"})

    @broker.subscriber("orders")
    async def bill(order: Order) -> None:
        await publisher.publish({"total": order.number})

    async with TestSqsBroker(broker):
        await broker.publish({"number": 3}, "orders")
        await bill.assert_called_once_with({"number": 3})
        await publisher.assert_called_once_with({"total": 3})


async def test_a_router_puts_its_prefix_before_its_queues() -> None:
    router, broker, seen = SqsRouter(prefix="shop-"), SqsBroker(prefix="test-"), Seen()

    @router.subscriber("orders")
    async def note(message: str) -> None:
        await seen.add(message)

    broker.include_router(router)
    async with TestSqsBroker(broker):
        await broker.publish("one", "test-shop-orders")
    assert seen.items == ["one"]


async def test_sqs_has_no_request_and_reply() -> None:
    async with TestSqsBroker(SqsBroker()) as broker:
        with pytest.raises(FeatureNotSupportedException):
            await broker.request("who?", "orders")


def test_asyncapi_names_queues_and_what_lies_in_them() -> None:
    broker = SqsBroker(Place(region="eu-west-1"))

    @broker.subscriber("orders", description="what was ordered")
    @broker.publisher("bills")
    async def bill(order: Order) -> str:
        return str(order.number)

    document = AsyncAPI(broker, title="Shop").to_specification().to_jsonable()
    (server,) = document["servers"].values()
    assert (server["protocol"], server["host"]) == ("sqs", "sqs.eu-west-1.amazonaws.com")
    channels = {one["address"]: one for one in document["channels"].values()}
    assert channels.keys() == {"orders", "bills"}
    assert channels["orders"]["bindings"]["sqs"]["queue"] == {"name": "orders"}
    assert "Order" in document["components"]["schemas"]


async def test_spans_of_a_chain_of_queues_are_one_trace() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    broker = SqsBroker(middlewares=[SqsTelemetryMiddleware(tracer_provider=provider)])

    @broker.subscriber("orders")
    @broker.publisher("bills")
    async def bill(order: Order) -> str:
        return "bill"

    @broker.subscriber("bills", Reading(batch=True))
    async def note(messages: list[str]) -> None: ...

    async with TestSqsBroker(broker):
        await broker.publish(Order(number=1), "orders")
    ended = spans.get_finished_spans()
    assert {span.name for span in ended} >= {"orders publish", "orders process", "bills process"}
    assert len({span.context.trace_id for span in ended if "create" not in span.name}) == 1
    provider.shutdown()


async def test_metrics_count_by_queue() -> None:
    registry = CollectorRegistry()
    broker = SqsBroker(middlewares=[SqsPrometheusMiddleware(registry=registry)])

    @broker.subscriber("orders", Reading(batch=True))
    async def note(orders: list[Order]) -> None: ...

    async with TestSqsBroker(broker):
        await broker.publish_batch({"number": 1}, {"number": 2}, queue="orders")
    told = generate_latest(registry).decode()
    assert 'faststream_received_messages_total{app_name="faststream",broker="sqs"' in told
    assert 'destination="orders"' in told


# -- on a real server ----------------------------------------------------------------------------


@pytest.fixture
async def broker(sqs_url: str) -> AsyncIterator[SqsBroker]:
    """With queues `orders`, `bills` and `dead` behind its prefix."""
    at = address(sqs_url)
    made = SqsBroker(at.place, prefix=f"{at.env}-", graceful_timeout=5)
    client: Any = await (await made.connect()).client()
    for name in ("orders", "bills", "dead"):
        await client.create_queue(QueueName=f"{at.env}-{name}")
    yield made
    await made.stop()


async def counts(broker: SqsBroker, queue: str) -> tuple[int, int]:
    """Visible, and in somebody's hand."""
    told = await broker.config.connection.attributes(f"{broker.config.prefix}{queue}")
    hidden = int(told["ApproximateNumberOfMessagesNotVisible"])
    return int(told["ApproximateNumberOfMessages"]), hidden


async def emptied(broker: SqsBroker, queue: str) -> None:
    await eventually(lambda: counts(broker, queue), lambda some: some == (0, 0))


def name(broker: SqsBroker, queue: str) -> str:
    return f"{broker.config.prefix}{queue}"


async def test_what_is_published_is_handled_and_deleted(broker: SqsBroker) -> None:
    seen = Seen()

    @broker.subscriber("orders", Reading(wait=1, max_workers=4))
    @broker.publisher("bills")
    async def bill(order: Order) -> SqsResponse:
        return SqsResponse(f"bill {order.number}", headers={"kind": "bill"})

    @broker.subscriber("bills", SHORT)
    async def note(text: str) -> None:
        await seen.add(text)

    await broker.start()
    await broker.publish_batch(*(Order(number=n) for n in range(25)), queue=name(broker, "orders"))
    assert sorted(await seen.count(25)) == sorted(f"bill {n}" for n in range(25))
    await emptied(broker, "orders")
    await emptied(broker, "bills")


async def test_a_batch_subscriber_reads_many_at_once(broker: SqsBroker) -> None:
    sizes, seen = Seen(), Seen()

    @broker.subscriber("orders", Reading(batch=True, max_records=30, wait=1))
    async def note(orders: list[Order]) -> None:
        await sizes.add(len(orders))
        for order in orders:
            await seen.add(order.number)

    await broker.publish_batch(*(Order(number=n) for n in range(30)), queue=name(broker, "orders"))
    await broker.start()
    assert sorted(await seen.count(30)) == list(range(30))
    assert max(sizes.items) > 10
    await emptied(broker, "orders")


async def test_what_a_handler_fails_at_comes_again(broker: SqsBroker) -> None:
    tries = Seen()

    @broker.subscriber("orders", SHORT)
    async def fail_once(order: Order) -> None:
        await tries.add(order.number)
        if len(tries.items) == 1:
            raise RuntimeError("boom")

    await broker.start()
    await broker.publish(Order(number=7), name(broker, "orders"))
    assert await tries.count(2) == [7, 7]
    await emptied(broker, "orders")


async def test_a_nack_may_say_when(broker: SqsBroker) -> None:
    tries = Seen()

    @broker.subscriber("orders", SHORT)
    async def later(order: Order) -> None:
        await tries.add(asyncio.get_running_loop().time())
        if len(tries.items) == 1:
            raise NackMessage(delay=2)

    await broker.start()
    await broker.publish(Order(number=7), name(broker, "orders"))
    first, second = await tries.count(2)
    assert second - first > 1.5


async def test_what_is_rejected_lies_with_the_dead(broker: SqsBroker) -> None:
    reading = Reading(wait=1, dead=name(broker, "dead"))

    @broker.subscriber("orders", reading)
    async def refuse(body: bytes) -> None:
        raise RejectMessage

    graves = broker.subscriber("dead", SHORT)
    await broker.start()
    await broker.publish(b"\x00\xff", name(broker, "orders"), headers={"kind": "odd"})
    message = await eventually(lambda: graves.get_one(timeout=1))
    assert message is not None
    assert (message.body, message.headers["kind"]) == (b"\x00\xff", "odd")
    await message.ack()
    await emptied(broker, "orders")
    await emptied(broker, "dead")


async def test_by_hand_nothing_is_settled_that_is_not_said(broker: SqsBroker) -> None:
    seen = Seen()

    @broker.subscriber("orders", SHORT, ack_policy=AckPolicy.MANUAL)
    async def keep(body: str) -> None:
        await seen.add(body)

    await broker.start()
    await broker.publish("mine", name(broker, "orders"))
    await seen.count(1)
    assert await counts(broker, "orders") == (0, 1)


async def test_a_slow_handler_keeps_its_message(broker: SqsBroker) -> None:
    seen = Seen()

    @broker.subscriber("orders", Reading(wait=1, visibility=1, max_workers=2))
    async def slow(body: str) -> None:
        await seen.add(body)
        await asyncio.sleep(2.5)  # beyond the visibility is what this is about

    await broker.start()
    await broker.publish("once", name(broker, "orders"))
    await seen.count(1)
    await emptied(broker, "orders")
    assert seen.items == ["once"]


async def test_a_stop_gives_back_what_no_handler_ended(sqs_url: str, broker: SqsBroker) -> None:
    began = Seen()
    at = address(sqs_url)
    stopping = SqsBroker(at.place, prefix=f"{at.env}-", graceful_timeout=0.1)

    @stopping.subscriber("orders", SHORT)
    async def hang(body: str) -> None:
        await began.add(body)
        await asyncio.Event().wait()

    await stopping.start()
    await broker.publish("mine", name(broker, "orders"))
    await began.count(1)
    await stopping.stop()
    assert await counts(broker, "orders") == (1, 0)


async def test_a_delayed_message_waits(broker: SqsBroker) -> None:
    await broker.publish("later", name(broker, "orders"), delay=60)
    told = await broker.config.connection.attributes(name(broker, "orders"))
    assert told["ApproximateNumberOfMessagesDelayed"] == "1"


async def test_a_queue_can_be_iterated(broker: SqsBroker) -> None:
    subscriber = broker.subscriber("orders", SHORT)
    await broker.publish_batch("a", "b", queue=name(broker, "orders"))
    got = set()
    async for message in subscriber:
        assert isinstance(message, SqsMessage)
        got.add(await message.decode())
        await message.ack()
        if len(got) == 2:
            break
    assert got == {"a", "b"}


async def test_a_ping_tells_whether_anybody_is_there(broker: SqsBroker) -> None:
    assert await broker.ping(timeout=10)
    nobody = SqsBroker(Place("eu-west-1", f"http://127.0.0.1:{lasting_port()}"))
    assert not await nobody.ping(timeout=10)
    await nobody.connect()
    assert not await nobody.ping(timeout=10)
    await nobody.stop()
