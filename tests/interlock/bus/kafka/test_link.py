"""The client ends when it is told to, and takes nobody with it."""

import asyncio

import uvloop

from interlock.bus.kafka.address import parse
from interlock.bus.kafka.link import Link, dismiss
from interlock.bus.kafka.trouble import AWAY


async def test_a_consumer_that_cancels_a_read_does_not_cancel_who_stops_it(kafka_url: str) -> None:
    """A read that had only just begun: aiokafka awaits it after it cancelled it."""
    link = Link(parse(kafka_url))
    await link.open()
    consumer = link.consumer()
    await consumer.start()
    read = asyncio.create_task(asyncio.sleep(60))
    await link.admin.describe_topics([])  # meanwhile its own task has begun
    consumer._fetcher._pending_tasks.add(read)
    assert not await dismiss(consumer)
    assert read.cancelled()
    assert not consumer._client._conns or not any(
        line.connected() for line in consumer._client._conns.values()
    )
    await link.close()


def test_a_connection_that_just_closed_counts_as_away_on_uvloop() -> None:
    """There a write to it raises, and aiokafka lets that through."""

    async def write() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        await reader.read()
        writer.transport.abort()
        await asyncio.sleep(0)
        try:
            writer.write(b"late")
        except AWAY as error:
            assert "closed" in str(error)
        else:
            raise AssertionError("the loop said nothing")
        finally:
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(write())
