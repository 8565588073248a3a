"""Failures on demand, and the log of what was really executed: what tests count side effects by."""

import asyncio
from collections import Counter, defaultdict, deque
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class How(StrEnum):
    """In which way a call fails."""

    STATUS = "status"
    """An HTTP status instead of an answer; the tool is not executed."""
    DROP = "drop"
    """The connection closes; the tool is not executed."""
    DROP_AFTER = "drop_after"
    """The tool is executed, and the connection closes instead of an answer."""
    DELAY = "delay"
    """The tool is executed after a while, unless it is cancelled before."""
    HOLD = "hold"
    """The tool is executed once `/control/release` is asked for, unless it is cancelled before."""
    ERROR = "error"
    """The tool says that it failed; it is not executed."""


class Failure(BaseModel):
    """The next `times` calls of `tool` fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    how: How
    times: int = Field(default=1, ge=1)
    status: int = Field(default=503, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    """Seconds, for `status`."""
    seconds: float = Field(default=1.0, ge=0, le=3600)
    """For `delay`."""


class Executed(BaseModel):
    """One execution of a tool."""

    tool: str
    task_id: str | None


class Log(BaseModel):
    """What happened so far. A tool that was dropped after its execution is among `executed`."""

    executed: dict[str, int]
    by_task: dict[str, int]
    """Executions by task id; more than one of a non-repeatable tool is a fault of the caller."""
    cancelled: dict[str, int]
    failed: dict[str, int]
    """Failures played, by tool."""
    calls: list[Executed]


class Trouble:
    """Armed failures and the log."""

    def __init__(self) -> None:
        self.reset()

    @property
    def armed(self) -> bool:
        """Whether any call is to fail."""
        return any(self._failures.values())

    def reset(self) -> None:
        """Disarm all, forget all."""
        self._failures: defaultdict[str, deque[Failure]] = defaultdict(deque)
        self._calls: list[Executed] = []
        self._cancelled: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._released = asyncio.Event()

    def release(self) -> None:
        """What is held goes on; what is armed from now on is held again."""
        self._released.set()
        self._released = asyncio.Event()

    def arm(self, failure: Failure) -> None:
        """Failures of one tool are played in the order in which they were armed."""
        self._failures[failure.tool] += [failure] * failure.times

    def next_at_door(self, tool: str) -> Failure | None:
        """The failure that the HTTP door is to play for this call, if it is the door's turn."""
        return self._next(tool, {How.STATUS, How.DROP, How.DROP_AFTER})

    async def inside(self, tool: str) -> str | None:
        """Played in the tool, before it does anything: why it is to fail, or nothing."""
        failure = self._next(tool, {How.DELAY, How.HOLD, How.ERROR})
        if failure is None:
            return None
        if failure.how is How.ERROR:
            return f"`{tool}` fails because it was asked to"
        try:
            if failure.how is How.HOLD:
                await self._released.wait()
            else:
                await asyncio.sleep(failure.seconds)
        except asyncio.CancelledError:
            self._cancelled[tool] += 1
            raise
        return None

    def note(self, tool: str, task_id: str | None) -> None:
        """The tool takes effect."""
        self._calls.append(Executed(tool=tool, task_id=task_id))

    def played(self) -> dict[str, int]:
        """How many failures of each tool were played so far."""
        return dict(self._failed)

    def log(self) -> Log:
        """What happened so far."""
        return Log(
            executed=Counter(call.tool for call in self._calls),
            by_task=Counter(call.task_id for call in self._calls if call.task_id is not None),
            cancelled=self._cancelled,
            failed=self._failed,
            calls=self._calls,
        )

    def _next(self, tool: str, hows: set[How]) -> Failure | None:
        armed = self._failures[tool]
        if not armed or armed[0].how not in hows:
            return None
        self._failed[tool] += 1
        return armed.popleft()
