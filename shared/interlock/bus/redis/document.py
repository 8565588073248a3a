"""AsyncAPI 3 of the running groups: topics, who publishes and who consumes them, and messages."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Union

from faststream.redis import RedisBroker, StreamSub
from faststream.specification.asyncapi import AsyncAPI

from interlock.bus.port import Group
from interlock.bus.redis.entries import Keys
from interlock.contracts.message import Fact
from interlock.contracts.registry import MESSAGES
from interlock.contracts.topics import TOPOLOGY, Topic, topics_of


class Document:
    """What goes over the bus, for people and for generators."""

    def __init__(self, groups: Sequence[Group], prefix: str, version: str) -> None:
        broker = RedisBroker("redis://bus", specification_url="redis://bus", protocol="redis")
        keys = Keys(prefix)
        for topic, spec in TOPOLOGY.items():
            broker.publisher(
                stream=keys.stream(topic),
                schema=_one_of(_messages(topic)),
                title=f"{topic.value}:publish",
                description=_tell("Published", sorted(spec.publishers), _messages(topic)),
            )
        for group in groups:
            for topic in topics_of(group.name):
                taken = _messages(topic) if group.keep else _routed(group, topic)
                if taken:
                    _subscribe(broker, keys, (topic, group.name), taken)
        self._specification = AsyncAPI(
            broker,
            title="Interlock",
            version=version,
            description="Every task travels as events; attributes are CloudEvents 1.0, binary.",
        ).to_specification()

    def json(self) -> dict[str, Any]:
        """AsyncAPI 3.0.0."""
        document: dict[str, Any] = json.loads(self._specification.to_json())
        for part in (document, document["components"]):  # FastStream keeps subscribers in a set
            for name in part.keys() & {"channels", "operations", "messages", "schemas"}:
                part[name] = dict(sorted(part[name].items()))
        return document


def _messages(topic: Topic) -> list[type[Fact]]:
    return [message for message in MESSAGES.values() if message.topic is topic]


def _routed(group: Group, topic: Topic) -> list[type[Fact]]:
    return [route.message for route in group.routes if route.message.topic is topic]


def _tell(done: str, by: Sequence[str], messages: Sequence[type[Fact]]) -> str:
    return f"{done} by {', '.join(by)}. Types: {', '.join(one.type for one in messages)}."


def _one_of(messages: Iterable[type[Fact]]) -> Any:
    return Union[tuple(messages)]  # noqa: UP007 - the members are only known now


def _subscribe(
    broker: RedisBroker, keys: Keys, place: tuple[Topic, str], messages: Sequence[type[Fact]]
) -> None:
    topic, group = place

    async def take(body: Any) -> None:
        """Only described: `Member` reads."""

    take.__annotations__["body"] = _one_of(messages)
    broker.subscriber(
        stream=StreamSub(keys.stream(topic), group=group, consumer=group),
        title=f"{topic.value}:{group}",
        description=_tell("Consumed", ["group " + group], messages),
    )(take)
