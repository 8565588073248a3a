"""Consumer groups: all of the topology's, made before anything is published or trimmed."""

from typing import Any

from redis.exceptions import ResponseError

from interlock.bus.redis.entries import Keys, pairs
from interlock.bus.redis.line import Line, refused
from interlock.contracts.topics import TOPOLOGY


async def missing_groups(line: Line, keys: Keys) -> list[tuple[str, str]]:
    """(stream, group) of the topology that Redis does not have."""
    wanted = [
        (key, group)
        for topic, spec in TOPOLOGY.items()
        for group in spec.groups
        for key in (keys.stream(topic), keys.retry(topic, group))
    ]
    streams = list(dict.fromkeys(key for key, _ in wanted))
    found = await line.ask(*(("XINFO", "GROUPS", key) for key in streams))
    there = {key: names(groups) for key, groups in zip(streams, found, strict=True)}
    return [(key, group) for key, group in wanted if group not in there[key]]


async def create_groups(line: Line, keys: Keys) -> None:
    """Each reads from the beginning. A group that exists stays as it is.

    Looks first: Redis refuses even a vain XGROUP CREATE when its memory is full.
    """
    missing = await missing_groups(line, keys)
    commands = [("XGROUP", "CREATE", key, group, 0, "MKSTREAM") for key, group in missing]
    for answer in await line.ask(*commands):
        if isinstance(answer, ResponseError) and not str(answer).startswith("BUSYGROUP"):
            raise refused(answer)


def described(groups: Any) -> list[dict[bytes, Any]]:
    """An answer to XINFO GROUPS, whichever protocol is spoken; empty where there is no stream."""
    if isinstance(groups, ResponseError):
        return []
    return [info if isinstance(info, dict) else pairs(info) for info in groups]


def names(groups: Any) -> set[str]:
    """The groups of a stream."""
    return {info[b"name"].decode() for info in described(groups)}
