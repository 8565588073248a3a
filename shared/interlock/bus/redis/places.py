"""Where messages lie, for the bus's document."""

from faststream.redis import RedisBroker, StreamSub

from interlock.bus.document import Places
from interlock.bus.redis.entries import Keys


def redis_places(prefix: str) -> Places:
    """A stream per topic, with a consumer group per service."""
    keys = Keys(prefix)
    return Places(
        RedisBroker("redis://bus", specification_url="redis://bus", protocol="redis"),
        lambda topic: {"stream": keys.stream(topic)},
        lambda topic, group: (
            (),
            {"stream": StreamSub(keys.stream(topic), group=group, consumer=group)},
        ),
    )
