"""How messages lie in Kafka: a header per attribute, the subject as key, the body as value.

Headers `x_…` are our own, which neither the code nor a reader's `Raw` covers: attempts, history,
and what a dead letter tells.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from interlock.bus.envelope import Letter, Raw
from interlock.bus.outcome import Again, Delivery, Parked
from interlock.bus.port import dead_topic
from interlock.bus.wire import letter_id
from interlock.contracts.ids import EventId
from interlock.contracts.topics import Topic

OURS = "x_"
ATTEMPTS = "x_attempts"
"""Whatever has headers of ours has this one."""
Headers = list[tuple[str, bytes]]
Record = Any
"""`aiokafka.ConsumerRecord`: topic, partition, offset, timestamp, key, value, headers."""
_one = lru_cache(maxsize=256)(str)
"""A name of a header, always the same object: a look-up of it hashes and compares no text."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be written. A body of None is a tombstone."""

    topic: str
    key: bytes
    body: bytes | None
    headers: Headers


def outgoing(topic: str, raw: Raw) -> Outgoing:
    """A message on its way to `topic`."""
    headers = [(name, value.encode()) for name, value in raw.attributes.items()]
    return Outgoing(topic, raw.attributes.get("ce_subject", "").encode(), raw.body, headers)


def delivery(record: Record, topic: Topic) -> Delivery:
    """The message in `record`.

    Bytes that are no text are shown escaped; their code cannot match, so they are never believed.
    """
    try:
        attributes = {_one(name): value.decode() for name, value in record.headers}
    except (UnicodeDecodeError, AttributeError):
        attributes = {name: _text(value) for name, value in record.headers}
    body = record.value or b""
    if ATTEMPTS not in attributes:
        return Delivery(Raw(topic, attributes, body), record)
    told = {name: value for name, value in attributes.items() if not name.startswith(OURS)}
    return Delivery(
        Raw(topic, told, body),
        record,
        attempts=_number(attributes[ATTEMPTS]),
        history=_history(attributes.get("x_history", "[]")),
    )


def again(outcome: Again, retry: str) -> tuple[str, Outgoing]:
    """A failed message on its way to topic `retry`, and the id of exactly this attempt at it."""
    failed = outcome.delivery
    headers = theirs(failed.place)
    headers += [
        (ATTEMPTS, b"%d" % (failed.attempts + 1)),
        ("x_history", json.dumps([*failed.history, outcome.line]).encode()),
        ("x_since", b"%d" % since(failed.place)),
    ]
    name = f"{letter_id(failed.raw, retry)}/{failed.attempts + 1}"
    return name, Outgoing(retry, failed.place.key or b"", failed.raw.body, headers)


def dead(parked: Parked, topic: str, group: str, now: datetime) -> Outgoing:
    """A dead letter: the message as it lay there, and why it is dead. Its key is its id."""
    gone = parked.delivery
    told = {
        "x_code": parked.code,
        "x_reason": parked.reason,
        "x_traceback": parked.traceback,
        ATTEMPTS: str(parked.attempts),
        "x_history": json.dumps([*gone.history, parked.line]),
        "x_parked_at": now.isoformat(),
    }
    headers = theirs(gone.place)
    headers += [(name, value.encode(errors="backslashreplace")) for name, value in told.items()]
    return Outgoing(topic, letter_id(gone.raw, group).encode(), gone.raw.body, headers)


def letter(record: Record, topic: Topic, group: str) -> Letter:
    """A dead letter as it is shown."""
    told = {
        name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers
    }
    return Letter(
        dead_topic=dead_topic(topic, group),
        letter_id=EventId(record.key.decode()),
        raw=delivery(record, topic).raw,
        code=told["x_code"],
        reason=told["x_reason"],
        traceback=told["x_traceback"],
        attempts=_number(told[ATTEMPTS]),
        parked_at=datetime.fromisoformat(told["x_parked_at"]),
        history=_history(told["x_history"]),
    )


def redriven(record: Record, retry: str) -> Outgoing:
    """The message of a dead letter on its way to topic `retry`, as if it had never failed."""
    return Outgoing(
        retry, header(record.headers, "ce_subject") or b"", record.value, theirs(record)
    )


def theirs(record: Record) -> Headers:
    """The headers that the publisher wrote."""
    return [(name, value or b"") for name, value in record.headers if not name.startswith(OURS)]


def since(record: Record) -> int:
    """When it was first published, in milliseconds of the broker's time."""
    told = header(record.headers, "x_since")
    return _number(_text(told)) or int(record.timestamp)


def packed(one: Outgoing) -> bytes:
    """As bytes: each part behind its length (big-endian)."""
    parts = [one.topic.encode(), one.key, one.body or b""]
    for name, value in one.headers:
        parts += name.encode(), value
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def unpacked(data: bytes) -> Outgoing:
    """What was `packed`."""
    topic, key, body, *rest = _parts(data)
    names = (name.decode() for name in rest[::2])
    return Outgoing(topic.decode(), key, body, list(zip(names, rest[1::2], strict=True)))


def _parts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def header(headers: Iterable[tuple[str, bytes]], name: str) -> bytes | None:
    """The first header of that name."""
    return next((value for known, value in headers if known == name), None)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="backslashreplace")


def _number(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else 0


def _history(value: str) -> tuple[str, ...]:
    try:
        lines = json.loads(value)
    except ValueError:
        return ()
    return tuple(map(str, lines)) if isinstance(lines, list) else ()
