"""How topics and groups are called on Kafka."""

import re
from dataclasses import dataclass

from interlock.bus.port import dead_topic, retry_topic
from interlock.contracts.topics import Topic, topics_of

ILLEGAL = re.compile(r"[^A-Za-z0-9._-]")
"""Neither Kafka nor MSK's metrics take these in a name."""


@dataclass(frozen=True)
class Names:
    """Every name begins with `prefix`, in which `.` stands for what Kafka does not allow."""

    prefix: str

    @classmethod
    def of(cls, prefix: str) -> "Names":
        return cls(ILLEGAL.sub(".", prefix))

    def topic(self, topic: Topic) -> str:
        return f"{self.prefix}{topic.value}"

    def retry(self, topic: Topic, group: str) -> str:
        return f"{self.prefix}{retry_topic(topic, group)}"

    def dead(self, topic: Topic, group: str) -> str:
        return f"{self.prefix}{dead_topic(topic, group)}"

    def group(self, group: str) -> str:
        return f"{self.prefix}{group}"

    def read_by(self, group: str) -> dict[str, Topic]:
        """All that a group reads: its topics first, then their retries."""
        topics = topics_of(group)
        return {self.topic(topic): topic for topic in topics} | {
            self.retry(topic, group): topic for topic in topics
        }
