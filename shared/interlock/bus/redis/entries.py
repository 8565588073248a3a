"""Keys and stream entries: how messages lie in Redis.

An entry has one field per attribute, `data` for the body, and fields `x_…` of our own, which
neither the code nor a reader's `Raw` covers: attempts, history, and what a dead letter tells.
"""

import json
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from interlock.bus.envelope import Letter, Raw
from interlock.bus.outcome import Again, Delivery, Parked
from interlock.bus.port import dead_topic, retry_topic
from interlock.bus.redis.line import Command
from interlock.bus.wire import letter_id
from interlock.contracts.ids import EventId
from interlock.contracts.topics import Topic, topics_of
from interlock.lately import Lately

DATA, MAC = b"data", b"mac"
OURS = b"x_"
NAMES = {
    name.encode(): name
    for name in (
        "ce_specversion ce_id ce_source ce_type ce_subject ce_time ce_tenant ce_cause ce_taskkind"
        " ce_taskkind traceparent mac"
    ).split()
}
Fields = list[bytes]
"""Name, value, name, value, …"""
LEAST = 256
LONGEST = 32_768
"""Bytes of a body; what is larger is read again."""


@dataclass(frozen=True)
class Keys:
    """Every key of the bus begins with `prefix`."""

    prefix: str

    def stream(self, topic: Topic) -> str:
        return f"{self.prefix}bus:{topic}"

    def retry(self, topic: Topic, group: str) -> str:
        return f"{self.prefix}bus:{retry_topic(topic, group)}"

    def delayed(self, topic: Topic, group: str) -> str:
        """Sorted set of messages that wait for their retry; score: milliseconds, server's time."""
        return f"{self.prefix}bus:{topic.value}.{group}.delayed"

    def dead(self, topic: Topic, group: str) -> str:
        return f"{self.prefix}bus:{dead_topic(topic, group)}"

    def letters(self, topic: Topic, group: str) -> str:
        """Hash: letter's id → entry in the dead stream."""
        return f"{self.prefix}bus:{topic.value}.{group}.letters"

    def alive(self, group: str) -> str:
        """Prefix of the keys that the group's live consumers keep."""
        return f"{self.prefix}bus:alive:{group}:"

    def read_by(self, group: str) -> dict[str, Topic]:
        """All streams of the group: its topics first, then their retries."""
        topics = topics_of(group)
        return {self.stream(topic): topic for topic in topics} | {
            self.retry(topic, group): topic for topic in topics
        }


class Place(NamedTuple):
    """Where a delivery lies, and exactly what lies there."""

    key: str
    entry: bytes
    fields: Fields


def xadd(key: str, raw: Raw) -> Command:
    """Append a message."""
    parts: list[str | bytes] = ["XADD", key, "*"]
    for attribute in raw.attributes.items():
        parts += attribute
    parts += DATA, raw.body
    return tuple(parts)


def delivery(place: Place, topic: Topic, killed: int = 0) -> Delivery:
    """The message at `place`; `killed` is how many processes ended while they handled it.

    Bytes that are no text are shown escaped; their code cannot match, so they are never believed.
    """
    fields = place.fields
    names = _as_published(tuple(fields[::2])) if not killed else None
    if names is not None:
        texts = _texts(fields[1:-1:2])
        return Delivery(Raw(topic, dict(zip(names, texts, strict=True)), fields[-1]), place)
    attributes: dict[str, str] = {}
    ours: dict[bytes, bytes] = {}
    body = b""
    for at in range(0, len(fields), 2):
        name, value = fields[at], fields[at + 1]
        known = NAMES.get(name)
        if known is not None:
            attributes[known] = _text(value)
        elif name == DATA:
            body = value
        elif name.startswith(OURS):
            ours[name] = value
        else:
            attributes[_text(name)] = _text(value)
    raw = Raw(topic, attributes, body)
    if not ours and not killed:
        return Delivery(raw, place)
    return Delivery(
        raw,
        place,
        attempts=_number(ours.get(b"x_attempts", b"0")) + killed,
        history=_history(ours.get(b"x_history", b"[]")),
        killed=killed > 0,
    )


@lru_cache(maxsize=256)
def _as_published(names: tuple[bytes, ...]) -> tuple[str, ...] | None:
    """The attributes' names, if the fields are such as `xadd` writes; a process sees few sets."""
    *attributes, last = names or (b"",)
    known = tuple(NAMES[name] for name in attributes if name in NAMES)
    return known if last == DATA and len(known) == len(set(names)) - 1 == len(attributes) else None


class Seen:
    """What entries were read as lately, where several members of this process read the same.

    One that is in every byte the one that we know needs no second reading.
    """

    def __init__(self) -> None:
        self._by_code: Lately[bytes, tuple[Fields, Raw]] = Lately(LEAST)
        self._readers: Counter[Topic] = Counter()

    @contextmanager
    def reading(self, topics: Collection[Topic]) -> Iterator[None]:
        """While this block runs, there is one who reads them."""
        self._readers.update(topics)
        try:
            yield
        finally:
            self._readers.subtract(topics)

    def delivery(self, place: Place, topic: Topic) -> Delivery:
        """`delivery` of an entry that no process has ended on."""
        if self._readers[topic] < 2:
            return delivery(place, topic)
        fields = place.fields
        if fields[-4:-3] != [MAC] or len(fields[-1]) > LONGEST:  # not as `xadd` writes it
            return delivery(place, topic)
        code = fields[-3]
        known = self._by_code.get(code)
        if known is not None and known[1].topic is topic and known[0] == fields:
            return Delivery(known[1], place)
        made = delivery(place, topic)
        if len(made.raw.attributes) * 2 + 2 == len(fields):  # nothing but the message
            self._by_code[code] = fields, made.raw
        return made


def delayed(again: Again) -> bytes:
    """A failed message for the sorted set: its fields, each behind its length (big-endian)."""
    failed = again.delivery
    place: Place = failed.place
    fields = [*theirs(place.fields), b"x_attempts", str(failed.attempts + 1).encode()]
    fields += b"x_history", json.dumps([*failed.history, again.line]).encode()
    fields += b"x_since", str(since(place)).encode()
    return b"".join(struct.pack(">I", len(part)) + part for part in fields)


def undelayed(member: bytes) -> Fields:
    """The fields in a member of the sorted set."""
    fields, at = [], 0
    while at < len(member):
        (length,) = struct.unpack_from(">I", member, at)
        fields.append(member[at + 4 : at + 4 + length])
        at += 4 + length
    return fields


def dead(parked: Parked, group: str, now: datetime) -> tuple[EventId, Fields]:
    """A dead letter's id and entry: the message as it lay there, and why it is dead."""
    gone = parked.delivery
    told = {
        b"x_letter": letter_id(gone.raw, group),
        b"x_code": parked.code,
        b"x_reason": parked.reason,
        b"x_traceback": parked.traceback,
        b"x_attempts": str(parked.attempts),
        b"x_history": json.dumps([*gone.history, parked.line]),
        b"x_parked_at": now.isoformat(),
    }
    fields = theirs(gone.place.fields)
    for name, value in told.items():
        fields += name, value.encode(errors="backslashreplace")
    return letter_id(gone.raw, group), fields


def letter(topic: Topic, group: str, entry: bytes, fields: Fields) -> Letter:
    """A dead letter as it is shown."""
    told = pairs(fields)
    return Letter(
        dead_topic=dead_topic(topic, group),
        letter_id=EventId(told[b"x_letter"].decode()),
        raw=delivery(Place("", entry, theirs(fields)), topic).raw,
        code=told[b"x_code"].decode(),
        reason=told[b"x_reason"].decode(),
        traceback=told[b"x_traceback"].decode(),
        attempts=_number(told[b"x_attempts"]),
        parked_at=datetime.fromisoformat(told[b"x_parked_at"].decode()),
        history=_history(told[b"x_history"]),
    )


def theirs(fields: Fields) -> Fields:
    """The fields that the publisher wrote."""
    kept: Fields = []
    for at in range(0, len(fields), 2):
        if not fields[at].startswith(OURS):
            kept += fields[at], fields[at + 1]
    return kept


def since(place: Place) -> int:
    """When it was first published, in milliseconds of the server's time."""
    return _number(pairs(place.fields).get(b"x_since", place.entry.partition(b"-")[0]))


def pairs(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    """Fields by name."""
    return dict(zip(fields[::2], fields[1::2], strict=True))


def together(places: Iterable[Place]) -> dict[str, list[bytes]]:
    """Entries by stream."""
    by_key: dict[str, list[bytes]] = {}
    for place in places:
        by_key.setdefault(place.key, []).append(place.entry)
    return by_key


def _texts(values: Sequence[bytes]) -> list[str]:
    """Each as `_text`; all at once, where none is unusual."""
    try:
        texts = b"\0".join(values).decode().split("\0")
    except UnicodeDecodeError:
        texts = []
    return texts if len(texts) == len(values) else [_text(value) for value in values]


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 16 else 0


def _history(value: bytes) -> tuple[str, ...]:
    try:
        lines = json.loads(value)
    except ValueError:
        return ()
    return tuple(map(str, lines)) if isinstance(lines, list) else ()
