"""What a bus promises. Every adapter passes `tests/interlock/bus`."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from interlock.bus.envelope import Arrival, Envelope, Letter, Raw
from interlock.contracts.ids import EventId
from interlock.contracts.message import Fact
from interlock.contracts.topics import Topic

F = TypeVar("F", bound=Fact)

Effects = Sequence[Fact | Raw]
"""What a handler caused. A `Raw` (a stored effect, or a journal's) goes out unchanged; a `Fact`
is stamped with ids that follow from the message that was handled."""


@dataclass(frozen=True)
class Route:
    """One message type and the handler it goes to."""

    message: type[Fact]
    handler: Callable[[Envelope[Any]], Awaitable[Effects]]


def on(message: type[F], handler: Callable[[Envelope[F]], Awaitable[Effects]]) -> Route:
    """Pair a message type with a handler of exactly that type; the type checker holds us to it."""
    return Route(message, handler)


@dataclass(frozen=True)
class Limits:
    """How a group works and how it gives up. Times in seconds."""

    batch: int = 128
    handler_timeout: float = 10.0
    max_attempts: int = 5
    first_delay: float = 0.5
    max_delay: float = 60.0
    """Delay of attempt n: `first_delay * 2**(n-1)`, capped, with full jitter."""
    unknown_type_attempts: int = 20
    linger: float = 0.0
    """How long to let messages gather between two reads, where nobody waits for what the group
    does with them: ten messages in one batch cost a fraction of ten batches of one."""


@dataclass(frozen=True)
class Group:
    """A consumer group: a service and what it does with each message.

    It reads `topics_of(name)`. A known type without a route is acknowledged. `keep`, where given,
    gets every message of a batch instead of the routes, believed or not (audit), all at once;
    when it returns they are kept.
    """

    name: str
    routes: Sequence[Route] = ()
    keep: Callable[[Sequence[Arrival]], Awaitable[None]] | None = None
    wants: Callable[[Mapping[str, str]], bool] = lambda attributes: True
    """What of its topics concerns it, by attributes that nobody has checked yet. The rest is
    acknowledged unread: it costs a group nothing that others' traffic shares its topic."""
    ready: Callable[[], bool] = lambda: True
    """While False the group stops reading (its published state is stale, its store is away)."""
    limits: Limits = field(default=Limits())


@dataclass(frozen=True)
class Backlog:
    """How far one group is behind on one topic."""

    topic: str
    group: str
    waiting: int
    """Published and not yet delivered, plus due or delayed retries."""
    in_flight: int
    """Delivered and not yet acknowledged."""
    oldest_seconds: float
    """Age of the oldest message not yet acknowledged; 0 when there is none."""
    dead: int


def any_letter(letter: Letter) -> bool:
    """Holds for each."""
    return True


@dataclass(frozen=True)
class Change:
    """One difference between the topology and what the transport has."""

    what: str
    """The part: ``topic `task.events` ``."""
    found: str
    """`missing`, or how it is: `partitions=3`."""
    wanted: str
    """How the topology wants it."""
    safe: bool = True
    """Whether `apply` can make it so and lose nothing; else a person has to."""
    todo: str = ""
    """What that person has to do, as a command or a sentence."""


class Bus(Protocol):
    """At-least-once delivery to each group, in any order.

    Open it before anything else, close it last.
    """

    async def open(self) -> None:
        """Connect; `Unavailable` where nobody is there. Creates nothing."""

    async def close(self) -> None:
        """Groups must have ended."""

    async def plan(self) -> Sequence[Change]:
        """How the transport's topics and groups differ from the topology; empty where they do not.

        Raises `Refused` where we may not look, `Unavailable` where nobody is there.
        """

    async def apply(self) -> None:
        """Make every safe change of `plan`. What is right already stays untouched."""

    async def publish(self, messages: Sequence[Raw]) -> None:
        """Accept all of them durably, or raise `Unavailable`."""

    async def run(self, group: Group) -> None:
        """Deliver to `group` until cancelled; then finish what is in hand, or hand it back."""

    async def check(self) -> None:
        """Raise `Unavailable` while messages cannot be taken (away, or memory almost full)."""

    async def backlog(self, group: str) -> Sequence[Backlog]:
        """One entry per topic of the group."""

    async def letters(
        self, group: str, limit: int = 100, where: Callable[[Letter], bool] = any_letter
    ) -> Sequence[Letter]:
        """The first `limit` dead letters of the group for which `where` holds, oldest first."""

    async def letter(self, group: str, letter_id: EventId) -> Letter | None:
        """One of them."""

    async def redrive(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        """Give them to the group again under their own ids; those that were there."""

    async def drop(self, group: str, letter_ids: Collection[EventId]) -> frozenset[EventId]:
        """Forget them; those that were there."""


BusEntry = Callable[[Raw], tuple[str, Sequence[str | bytes]]]
"""Where and how a bus on Redis keeps a message: the key of a stream, and name, value, name, …"""


def dead_topic(topic: Topic, group: str) -> str:
    """Where a group parks what it cannot handle."""
    return f"{topic}.{group}.dead"


def retry_topic(topic: Topic, group: str) -> str:
    """Where a group is given messages again."""
    return f"{topic}.{group}.retry"
