"""AsyncAPI 3 of the running groups: topics, who publishes and who consumes them, and messages."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from faststream.specification.asyncapi import AsyncAPI

from interlock.bus.port import Group
from interlock.contracts.message import Fact
from interlock.contracts.registry import MESSAGES
from interlock.contracts.topics import TOPOLOGY, Topic, topics_of


@dataclass(frozen=True)
class Places:
    """How a transport tells FastStream where messages lie."""

    broker: Any
    """A FastStream broker that is never connected."""
    published: Callable[[Topic], Mapping[str, Any]]
    """What its `publisher` takes for a topic."""
    consumed: Callable[[Topic, str], tuple[Sequence[Any], Mapping[str, Any]]]
    """What its `subscriber` takes for a topic and a group."""


class Document:
    """What goes over the bus, for people and for generators."""

    def __init__(self, groups: Sequence[Group], places: Places, version: str) -> None:
        broker = places.broker
        for topic, spec in TOPOLOGY.items():
            broker.publisher(
                **places.published(topic),
                schema=_one_of(_messages(topic)),
                title=f"{topic.value}:publish",
                description=_tell("Published", sorted(spec.publishers), _messages(topic)),
            )
        for group in groups:
            for topic in topics_of(group.name):
                taken = _messages(topic) if group.keep else _routed(group, topic)
                if taken:
                    _subscribe(places, topic, group.name, taken)
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


def _subscribe(places: Places, topic: Topic, group: str, messages: Sequence[type[Fact]]) -> None:
    async def take(body: Any) -> None:
        """Only described: the transport's own members read."""

    take.__annotations__["body"] = _one_of(messages)
    where, how = places.consumed(topic, group)
    places.broker.subscriber(
        *where,
        **how,
        title=f"{topic.value}:{group}",
        description=_tell("Consumed", ["group " + group], messages),
    )(take)
