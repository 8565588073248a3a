"""What a client hands back with its answers (MCP 2026-07-28, `requestState`), sealed by the door.

It says which task asked, in which round, and for what; and to whom that was told. It is not
secret, but nobody else could have made it.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from interlock.contracts.task import Principal, Task
from services.gateway.decide.manner import asked_of
from services.gateway.model import Snapshot


@dataclass(frozen=True, slots=True)
class State:
    """The contents of one `requestState`."""

    task: str
    round: int
    """In which it was asked."""
    keys: tuple[str, ...]
    principal: str
    request: str
    """What was asked for when the task began; see `digest_of_request`."""
    expires: float
    """The task's deadline."""

    def text(self) -> bytes:
        """To be sealed."""
        return orjson.dumps(asdict(self))

    def fits(self, principal: Principal, request: str, now: datetime) -> bool:
        """Whether it may be handed back so."""
        return (
            self.principal == whose(principal)
            and self.request == request
            and now.timestamp() < self.expires
        )


def read(text: bytes) -> State:
    """Of what `State.text` wrote."""
    found = orjson.loads(text)
    return State(**found | {"keys": tuple(found["keys"])})


def state_of(snapshot: Snapshot, request: str) -> State:
    """What the client of a task that asks is told to hand back."""
    task = snapshot.task
    return State(
        task=task.id,
        round=task.round,
        keys=tuple(asked_of(snapshot)),
        principal=whose(task.principal),
        request=request,
        expires=task.deadline.timestamp(),
    )


def digest_of_request(task: Task, route: str, arguments: Any) -> str:
    """The same for the same request by the same route, however its JSON is laid out."""
    said = [route, task.kind.value, task.server, task.tool, arguments]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def whose(principal: Principal) -> str:
    """A principal, of whichever tenant, as text."""
    who = [principal.tenant, principal.kind.value, principal.name, principal.user]
    return orjson.dumps(who).decode()
