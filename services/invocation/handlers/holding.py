"""A job in hand, and how it came there."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from interlock.bus import Raw
from interlock.contracts.task import Task
from services.invocation.model import Control, Job, Try


@dataclass(frozen=True)
class Ask:
    """One question of an upstream that waits for its answer."""

    request: str
    """`{method, params}` as JSON text."""
    answer: "asyncio.Future[Any]"


class Progress(NamedTuple):
    """What an upstream says of how far it is."""

    progress: float
    total: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Claim:
    """How a job came into our hands."""

    since: float
    """When its claim began, on the loop's clock."""
    kept: "asyncio.Future[bool] | None" = None
    """Whether the claim would survive a power cut, as soon as that is known; None: it would."""


@dataclass(eq=False)
class Holding:
    """A job in hand."""

    job: Job
    claim: Claim
    control: Control | None = None
    interrupted: bool = False
    """The service stops and can wait no longer."""
    call: "asyncio.Future[Try] | None" = None
    begun: bool = False
    """The call has got as far as its client."""
    untold: list[Raw] = field(default_factory=list)
    """What is told with its end at the latest."""
    seq: int = 0
    """Of what was told of this attempt on the way."""
    latest: Progress | None = None
    """The newest progress, until it is told."""
    asks: dict[str, Ask] = field(default_factory=dict)
    """What the upstream wants to know while the call goes on, by key."""

    def number(self) -> int:
        """The next number of what is told on the way."""
        self.seq += 1
        return self.seq

    def answer(self, task: Task, given: str) -> None:
        """Input was granted; from here on the task is in that round."""
        self.job = replace(self.job, task=task)
        for key, answer in json.loads(given).items():
            ask = self.asks.pop(key, None)
            if ask is not None and not ask.answer.done():
                ask.answer.set_result(answer)

    def stop(self, control: Control | None) -> None:
        """Let the call go; with a control for somebody's sake, without one for the service's."""
        if control is None:
            self.interrupted = True
        else:
            self.control = control
        if self.call is not None:
            self.call.cancel()
