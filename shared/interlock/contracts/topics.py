"""The topology: which topic exists, who may write it, and which groups read it (DESIGN §2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType


class Topic(StrEnum):
    """A named stream of events. One per consuming service and stage."""

    TASK_SUBMITTED = "task.submitted"
    TASK_AUTHENTICATED = "task.authenticated"
    TASK_AUTHORIZED_CALL = "task.authorized.call"
    TASK_CONTROL = "task.control"
    TASK_EVENTS = "task.events"
    UPSTREAM_EVENTS = "upstream.events"
    STATE_CHANGED = "state.changed"


@dataclass(frozen=True)
class TopicSpec:
    """What the topology says of one topic."""

    publishers: frozenset[str]
    """Services that may write it; `agents` stands for agents on the bus."""

    groups: tuple[str, ...]
    """Consumer groups; each is a service's name and gets every message once or more."""

    hands_over: frozenset[str] = frozenset()
    """Groups to which a message here hands a task over: parking one states `task.parked`."""

    retention: timedelta = timedelta(days=7)
    """How long a group may lag behind and lose nothing; a broker may drop what is older (Kafka,
    SQS). Redis keeps a message until every group has acknowledged it, however long that takes:
    there the bound is memory, and doors answer 503 before it is full. See docs/operations.md."""

    partitions: int = 6
    """So many members of a group can share the topic where the transport divides it (Kafka);
    a message's partition follows from its subject. A deployment may ask for more."""

    signed_by_sender: bool = False
    """Writers lack the suite's key: the message is proven by a signature in its body."""


SERVICES = ("gateway", "auth", "registry", "policy", "invocation", "audit")

TOPOLOGY: Mapping[Topic, TopicSpec] = MappingProxyType(
    {
        Topic.TASK_SUBMITTED: TopicSpec(
            frozenset({"agents"}), ("auth",), frozenset({"auth"}), signed_by_sender=True
        ),
        Topic.TASK_AUTHENTICATED: TopicSpec(
            frozenset({"gateway", "auth", "registry"}), ("policy", "audit"), frozenset({"policy"})
        ),
        Topic.TASK_AUTHORIZED_CALL: TopicSpec(
            frozenset({"policy"}), ("invocation", "audit"), frozenset({"invocation"})
        ),
        Topic.TASK_CONTROL: TopicSpec(frozenset({"gateway"}), ("policy", "invocation", "audit")),
        Topic.TASK_EVENTS: TopicSpec(
            frozenset(SERVICES) - {"audit"}, ("gateway", "registry", "audit")
        ),
        Topic.UPSTREAM_EVENTS: TopicSpec(
            frozenset({"invocation"}), ("gateway", "registry", "audit")
        ),
        Topic.STATE_CHANGED: TopicSpec(frozenset(SERVICES), ("audit",)),
    }
)


def topics_of(group: str) -> tuple[Topic, ...]:
    """The topics that `group` reads, in the topology's order."""
    return tuple(topic for topic, spec in TOPOLOGY.items() if group in spec.groups)
