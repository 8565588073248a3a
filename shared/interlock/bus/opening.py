"""Which transport a URL means. Each is imported where it is asked for: their clients are extras."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from interlock.bus.document import Places
from interlock.bus.envelope import Raw
from interlock.bus.observe import Observer, Silent
from interlock.bus.port import Bus, BusEntry
from interlock.bus.redis import RedisBus
from interlock.bus.redis.entries import Keys, xadd
from interlock.bus.redis.places import redis_places
from interlock.bus.verdict import Surroundings
from interlock.bus.wire import Keyring
from interlock.errors import Refused

REDIS = ("redis", "rediss", "unix")
SQS = "sqs"
KAFKA = "kafka"
SCHEMES = (*REDIS, SQS, KAFKA)


@dataclass(frozen=True)
class Opening:
    """What every transport is made of."""

    url: str
    """Where the broker is, and all that is to be said of the way there."""
    keyring: Keyring
    now: Callable[[], datetime]
    prefix: str = "interlock:"
    """Before every name of ours, so that suites can share a broker."""
    observer: Observer | None = None
    redis_url: str | None = None
    """The state plane's Redis: where messages wait for their retry if the broker cannot delay.
    One who only publishes needs none."""


def open_bus(opening: Opening) -> Bus:
    """The transport that the URL's scheme means, not yet opened; `Refused` where there is none."""
    scheme = urlsplit(opening.url).scheme
    if scheme in REDIS:
        return RedisBus(
            opening.url,
            opening.keyring,
            opening.now,
            prefix=opening.prefix,
            observer=opening.observer,
        )
    if scheme == SQS:
        try:
            from interlock.bus.sqs import SqsBus  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise Refused(
                f"`sqs://` needs `{error.name}`; install `interlock[sqs]`", code="extra_missing"
            ) from None
        return SqsBus(opening.url, opening.keyring, opening.now, observer=opening.observer)
    if scheme == KAFKA:
        return _kafka(opening)
    raise Refused(
        f"`{scheme}` is no scheme of a bus's URL; give one of "
        + ", ".join(f"`{known}://`" for known in SCHEMES)
    )


def entry_of(prefix: str) -> BusEntry:
    """How the bus on Redis keeps a message: the stream's key, and the entry's fields."""
    keys = Keys(prefix)

    def entry(raw: Raw) -> tuple[str, Sequence[str | bytes]]:
        key = keys.stream(raw.topic)
        return key, xadd(key, raw)[3:]

    return entry


def places(url: str | None, prefix: str) -> Places:
    """Where the messages of a bus lie, for its document; a bus of our own is on Redis."""
    if url is not None and urlsplit(url).scheme == KAFKA:
        from interlock.bus.kafka.places import kafka_places  # noqa: PLC0415 - an extra

        return kafka_places(prefix)
    if url is not None and urlsplit(url).scheme == SQS:
        from interlock.bus.sqs.places import sqs_places  # noqa: PLC0415 - an extra

        return sqs_places(url)
    return redis_places(prefix)


def _kafka(opening: Opening) -> Bus:
    try:
        from interlock.bus.kafka import KafkaBus  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Refused(
            f"`kafka://` needs `{error.name}`; install `interlock[kafka]`", code="extra_missing"
        ) from None
    around = Surroundings(opening.keyring, opening.now, opening.observer or Silent())
    return KafkaBus(opening.url, around, prefix=opening.prefix, redis_url=opening.redis_url)
