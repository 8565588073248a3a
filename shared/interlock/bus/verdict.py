"""What an error means for the message that it struck: wait, come again, or be parked."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from traceback import format_exception

import structlog

from interlock.bus.envelope import Raw
from interlock.bus.observe import Observer, Silent
from interlock.bus.outcome import Again, Back, Delivery, Outcome, Parked
from interlock.bus.port import Group, dead_topic
from interlock.bus.wire import Keyring, Stamp, UnknownType, letter_id
from interlock.contracts.message import Fact
from interlock.contracts.outcomes import TaskParked
from interlock.contracts.task import TaskFact
from interlock.contracts.topics import TOPOLOGY, Topic
from interlock.errors import InterlockError, Refused, Unavailable, Unreadable

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a bus gives to every group that it runs."""

    keyring: Keyring
    now: Callable[[], datetime]
    observer: Observer = field(default_factory=Silent)
    chance: Callable[[], float] = random.random
    """Uniform in [0, 1): the jitter of a retry's delay."""


class Killed(InterlockError):
    """The process ended, again and again, while it handled the message."""

    code = "killed"

    def __init__(self, times: int) -> None:
        super().__init__(f"the process ended while it handled the message, attempt `{times}`")


class Verdicts:
    """Judges for one group, states its verdicts in the log and to the observer."""

    def __init__(self, group: Group, stamp: Stamp, around: Surroundings) -> None:
        self._group = group
        self._stamp = stamp
        self._around = around

    def on(self, delivery: Delivery, error: BaseException, fact: Fact | None = None) -> Outcome:
        """What becomes of a delivery whose handling raised; `fact`, if it was readable."""
        if isinstance(error, Unavailable):
            return Back(delivery, error.detail)
        kind = delivery.raw.attributes.get("ce_type", "")
        self._around.observer.failed(self._group.name, kind, error)
        limits, attempt = self._group.limits, delivery.attempts + 1
        unknown = isinstance(error, UnknownType)
        most = limits.unknown_type_attempts if unknown else limits.max_attempts
        if isinstance(error, Refused | Unreadable) or attempt >= most:
            return self.park(delivery, error, fact)
        full = min(limits.max_delay, limits.first_delay * 2.0 ** (attempt - 1))
        delay = full * self._around.chance()
        self._around.observer.retried(self._group.name, kind, delay)
        self._log("message.retried", delivery, error, attempt=attempt, delay=round(delay, 3))
        return Again(delivery, delay, self._line(error))

    def park(self, delivery: Delivery, error: BaseException, fact: Fact | None) -> Parked:
        """A dead letter. A readable hand-over also states of its task that it is parked."""
        raw, group = delivery.raw, self._group.name
        code, reason = _why(error)
        effects: Sequence[Raw] = ()
        if isinstance(fact, TaskFact) and group in TOPOLOGY[raw.topic].hands_over:
            parked = TaskParked(
                task=fact.task,
                dead_topic=dead_topic(raw.topic, group),
                letter_id=letter_id(raw, group),
                after_decision=raw.topic is Topic.TASK_AUTHORIZED_CALL,
                code=code,
                reason=reason,
            )
            effects = self._stamp.answer(raw, [parked])
        self._around.observer.parked(group, raw.attributes.get("ce_type", ""), code)
        self._log("message.parked", delivery, error, code=code, reason=reason)
        trace = "".join(format_exception(error)) if error.__traceback__ else ""
        return Parked(
            delivery,
            code,
            reason,
            self._line(error),
            attempts=delivery.attempts + (not isinstance(error, Killed)),
            traceback=trace,
            effects=effects,
        )

    def _line(self, error: BaseException) -> str:
        return f"{self._around.now().isoformat()} {type(error).__name__}: {error}"

    def _log(self, event: str, delivery: Delivery, error: BaseException, **fields: object) -> None:
        log.warning(
            event,
            group=self._group.name,
            type=delivery.raw.attributes.get("ce_type"),
            id=delivery.raw.id,
            exc_info=None if isinstance(error, InterlockError | TimeoutError) else error,
            **fields,
        )


def _why(error: BaseException) -> tuple[str, str]:
    """Code and sentence; a bug's own words stay in the letter's traceback."""
    if isinstance(error, InterlockError):
        return error.code, error.detail
    if isinstance(error, TimeoutError):
        return "timeout", str(error) or "a time limit passed"
    return "internal", f"the handler failed with `{type(error).__name__}`"
