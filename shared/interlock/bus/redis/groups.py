"""Consumer groups: all of the topology's, made before anything is published or trimmed."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from interlock.bus.port import Change
from interlock.bus.redis.entries import Keys, pairs
from interlock.bus.redis.line import Line, refused
from interlock.contracts.topics import TOPOLOGY


async def planned(line: Line, keys: Keys) -> list[Change]:
    """How Redis differs from the topology. What lies in a stream's place is for people to move."""
    missing, taken = await _looked(line, keys)
    return [
        *(
            Change(
                f"stream `{key}`",
                "a key of another type",
                "a stream",
                safe=False,
                todo=f"find out whose it is, then `RENAME {key} <elsewhere>` or `DEL {key}`",
            )
            for key in taken
        ),
        *(
            Change(f"group `{group}` of stream `{key}`", "missing", "there")
            for key, group in missing
        ),
    ]


async def create_groups(line: Line, keys: Keys) -> None:
    """Each reads from the beginning. A group that exists stays as it is.

    Looks first: Redis refuses even a vain XGROUP CREATE when its memory is full.
    """
    missing, _ = await _looked(line, keys)
    commands = [("XGROUP", "CREATE", key, group, 0, "MKSTREAM") for key, group in missing]
    for answer in await line.ask(*commands):
        if isinstance(answer, ResponseError) and not str(answer).startswith("BUSYGROUP"):
            raise refused(answer)


async def _looked(line: Line, keys: Keys) -> tuple[Sequence[tuple[str, str]], Sequence[str]]:
    """(stream, group) of the topology that are missing; keys that are there and no streams."""
    wanted = [
        (key, group)
        for topic, spec in TOPOLOGY.items()
        for group in spec.groups
        for key in (keys.stream(topic), keys.retry(topic, group))
    ]
    streams = list(dict.fromkeys(key for key, _ in wanted))
    answers = await line.ask(*(("XINFO", "GROUPS", key) for key in streams))
    found = dict(zip(streams, answers, strict=True))
    taken = [key for key, answer in found.items() if str(answer).startswith("WRONGTYPE")]
    there = {key: names(answer) for key, answer in found.items() if key not in taken}
    missing = [(key, group) for key, group in wanted if group not in there.get(key, {group})]
    return missing, taken


def described(groups: Any) -> list[dict[bytes, Any]]:
    """An answer to XINFO GROUPS, whichever protocol is spoken; empty where there is no stream."""
    if isinstance(groups, ResponseError):
        return []
    return [info if isinstance(info, dict) else pairs(info) for info in groups]


def names(groups: Any) -> set[str]:
    """The groups of a stream."""
    return {info[b"name"].decode() for info in described(groups)}
