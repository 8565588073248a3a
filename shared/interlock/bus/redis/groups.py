"""Consumer groups: all of the topology's, made before anything is published or trimmed."""

from redis.exceptions import ResponseError

from interlock.bus.redis.entries import Keys
from interlock.bus.redis.line import Line, refused
from interlock.contracts.topics import TOPOLOGY


async def create_groups(line: Line, keys: Keys) -> None:
    """Each reads from the beginning. A group that exists stays as it is."""
    wanted = [
        (key, group)
        for topic, spec in TOPOLOGY.items()
        for group in spec.groups
        for key in (keys.stream(topic), keys.retry(topic, group))
    ]
    commands = [("XGROUP", "CREATE", key, group, 0, "MKSTREAM") for key, group in wanted]
    for answer in await line.ask(*commands):
        if isinstance(answer, ResponseError) and not str(answer).startswith("BUSYGROUP"):
            raise refused(answer)
