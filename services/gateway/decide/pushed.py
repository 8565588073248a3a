"""The ids of requests to a client in the middle of its call: each says which question it is, so
that any replica can take the answer."""

from typing import NamedTuple

from interlock.contracts.task import Task
from services.gateway.decide.detailed import key_of


class Pushed(NamedTuple):
    """One question of a task."""

    task: str
    round: int
    key: str
    """The upstream's own."""


def id_of(task: Task, key: str) -> str:
    """The same for the same question, on whichever stream and replica it is put."""
    return f"{task.id}/{key_of(key, task.round)}"


def read(request_id: object) -> Pushed | None:
    """What `id_of` made; None of anything else."""
    if not isinstance(request_id, str):
        return None
    task, _, rest = request_id.partition("/")
    key, _, round_ = rest.rpartition("#")
    if not (task and key and round_.isascii() and round_.isdecimal() and len(round_) < 10):
        return None
    return Pushed(task, int(round_), key)
