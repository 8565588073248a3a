"""The AsyncAPI document of what runs."""

import json
from collections.abc import Sequence

import pytest

from interlock.bus import Arrival, Effects, Envelope, Group, on
from interlock.bus.document import Document
from interlock.bus.opening import places
from interlock.contracts.registry import MESSAGES
from interlock.contracts.requests import TaskAuthenticated
from interlock.contracts.topics import TOPOLOGY, topics_of


async def judge(event: Envelope[TaskAuthenticated]) -> Effects:
    return []


async def keep(arrivals: Sequence[Arrival]) -> None:
    return None


GROUPS = (Group("policy", [on(TaskAuthenticated, judge)]), Group("audit", keep=keep))


@pytest.mark.parametrize(
    ("url", "place"),
    [(None, "interlock:bus:"), ("kafka://a:9092", "interlock."), ("redis://a", "interlock:bus:")],
)
def test_it_names_every_topic_every_message_and_the_groups_that_consume(
    url: str | None, place: str
) -> None:
    document = Document(GROUPS, places(url, "interlock:"), "1").json()
    channels = document["channels"]
    assert document["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in channels.values()} == {
        f"{place}{topic}" for topic in TOPOLOGY
    }
    audited = {f"{topic}:audit" for topic in topics_of("audit")}
    published = {f"{topic}:publish" for topic in TOPOLOGY}
    assert set(channels) == audited | published | {"task.authenticated:policy"}
    told = " ".join(channel["description"] for channel in channels.values())
    assert {message for message in MESSAGES if message not in told} == set()
    schemas = document["components"]["schemas"]
    named = set(schemas) | {schema.get("title") for schema in schemas.values()}
    assert {message.__name__ for message in MESSAGES.values()} <= named


def test_on_sqs_it_names_the_queues() -> None:
    where = places("sqs://eu-west-1/prod", "interlock:")
    document = Document(GROUPS, where, "1").json()
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses >= {f"prod-{topic.replace('.', '-')}-audit" for topic in topics_of("audit")}
    assert "prod-task-authenticated-policy" in addresses


def test_it_is_the_same_each_time() -> None:
    first, second = (json.dumps(Document(GROUPS, places(None, "x:"), "1").json()) for _ in range(2))
    assert first == second
