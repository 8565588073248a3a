"""Where messages lie, for the bus's document."""

from interlock.bus.document import Places
from interlock.bus.sqs.address import address
from interlock.bus.sqs.broker import SqsBroker
from interlock.contracts.topics import TOPOLOGY


def sqs_places(url: str) -> Places:
    """A queue for each topic and group; what is published is shown at the first group's."""
    at = address(url)
    return Places(
        SqsBroker(at.place),
        lambda topic: {"queue": at.queue(topic, TOPOLOGY[topic].groups[0])},
        lambda topic, group: ((at.queue(topic, group),), {}),
    )
