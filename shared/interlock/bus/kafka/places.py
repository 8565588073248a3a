"""Where messages lie, for the bus's document."""

from faststream.kafka import KafkaBroker

from interlock.bus.document import Places
from interlock.bus.kafka.names import Names


def kafka_places(prefix: str) -> Places:
    """A topic per topic, with a consumer group per service."""
    names = Names.of(prefix)
    return Places(
        KafkaBroker("bus:9092", specification_url="kafka://bus:9092", protocol="kafka"),
        lambda topic: {"topic": names.topic(topic)},
        lambda topic, group: ((names.topic(topic),), {"group_id": names.group(group)}),
    )
