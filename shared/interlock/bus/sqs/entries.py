"""Messages in SQS: our attributes in one, and in a second what the bus itself keeps of a message.

The latter is covered by neither the code nor a reader's `Raw`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from interlock.bus.envelope import Letter, Raw
from interlock.bus.outcome import Again, Delivery, Parked
from interlock.bus.port import dead_topic
from interlock.bus.sqs.broker.wire import Packed, dumped, pack, unpack
from interlock.bus.wire import letter_id
from interlock.contracts.ids import EventId
from interlock.contracts.topics import Topic

KEPT = "delivery"
LONGEST_DELAY = 900
"""Seconds: SQS delays no longer."""
MOST_LINES = 50
MOST_LINE = 1_000
"""Characters of a line of history, or of a reason."""
MOST_TRACE = 16_000
"""Characters of a traceback that a letter keeps: its end."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the bus keeps of a message that is sent again. Times in milliseconds since 1970."""

    attempts: int = 0
    deaths: int = 0
    """Earlier copies that were received and left neither verdict nor hand-back."""
    history: tuple[str, ...] = ()
    since: int | None = None
    """When the first copy was sent."""
    due: int | None = None
    """Not to be handled before; a delay may be longer than SQS's."""
    claim: str | None = None
    """The name under which the body lies in the store."""
    letter: Mapping[str, Any] | None = None
    """What a dead letter tells."""

    def json(self) -> str:
        return dumped({name: v for name in self.__slots__ if (v := getattr(self, name))})


@dataclass(frozen=True, slots=True)
class Receipt:
    """A delivery's handle."""

    queue: str
    handle: str
    sent: int
    """When this copy was sent, milliseconds."""
    kept: Kept

    @property
    def since(self) -> int:
        return self.kept.since or self.sent


NOTHING = Kept()


def kept(message: Mapping[str, Any]) -> Kept:
    """Nothing where there is nothing, or nothing of ours."""
    found = message.get("MessageAttributes", {}).get(KEPT)
    if found is None:
        return NOTHING
    try:
        told = orjson.loads(found["StringValue"])
        known = {name: told[name] for name in Kept.__slots__ if name in told}
        made = Kept(**known)
        return replace(
            made,
            attempts=int(made.attempts),
            deaths=int(made.deaths),
            history=tuple(map(str, made.history)),
        )
    except (ValueError, TypeError, KeyError):
        return NOTHING


def delivery(message: Mapping[str, Any], queue: str, topic: Topic) -> Delivery:
    """As it is received. That it was received before counts as a death: all that ends otherwise
    leaves a new copy."""
    headers, body = unpack(message)
    attributes = message["Attributes"]
    ours = kept(message)
    deaths = ours.deaths + int(attributes["ApproximateReceiveCount"]) - 1
    receipt = Receipt(queue, message["ReceiptHandle"], int(attributes["SentTimestamp"]), ours)
    return Delivery(
        raw=Raw(topic, headers, body),
        place=receipt,
        attempts=ours.attempts + deaths,
        history=ours.history,
        killed=deaths > 0,
    )


def packed(raw: Raw, ours: Kept | None = None, delay: int = 0) -> Packed:
    """Ready to be sent."""
    if ours is None:
        return pack(raw.attributes, raw.body, delay=delay)
    body = b"" if ours.claim else raw.body
    return pack(raw.attributes, body, {KEPT: ours.json()}, delay)


def copy(one: Delivery, delay: float, now: datetime, **changes: Any) -> Packed:
    """The message once more, for the same group, after `delay` seconds (to the nearest whole)."""
    receipt: Receipt = one.place
    due = milliseconds(now) + int(delay * 1000) if delay > LONGEST_DELAY else None
    ours = replace(receipt.kept, since=receipt.since, due=due, **changes)
    return packed(one.raw, ours, min(round(delay), LONGEST_DELAY))


def handed_back(one: Delivery, delay: float, now: datetime) -> Packed:
    """The message once more, as if it had not been delivered."""
    receipt: Receipt = one.place
    return copy(one, delay, now, deaths=one.attempts - receipt.kept.attempts)


def failed(again: Again, now: datetime, limit: int) -> Packed:
    """The message once more, and one attempt more in its history, as far as there is room."""
    one = again.delivery
    history = (*one.history, again.line[:MOST_LINE])[-MOST_LINES:]
    more = {"attempts": one.attempts + 1, "deaths": 0}
    sent = copy(one, again.delay, now, **more, history=history)
    return sent if sent.size <= limit else copy(one, again.delay, now, **more, history=history[-1:])


def early(one: Delivery, now: datetime) -> float:
    """Seconds until it is due."""
    receipt: Receipt = one.place
    return max(0.0, ((receipt.kept.due or 0) - milliseconds(now)) / 1000)


def dead(parked: Parked, group: str, now: datetime, limit: int) -> Packed:
    """The dead letter; without its traceback and its past where there is no room for them."""
    one = parked.delivery
    told = {
        "id": letter_id(one.raw, group),
        "code": parked.code,
        "reason": parked.reason[:MOST_LINE],
        "traceback": parked.traceback[-MOST_TRACE:],
        "attempts": parked.attempts,
        "parked_at": now.isoformat(),
    }
    history = (*one.history, parked.line[:MOST_LINE])[-MOST_LINES:]
    sent = copy(one, 0.0, now, letter=told, history=history, attempts=0, deaths=0)
    if sent.size <= limit:
        return sent
    brief = told | {"traceback": ""}
    return copy(one, 0.0, now, letter=brief, history=history[-1:], attempts=0, deaths=0)


def letter(message: Mapping[str, Any], topic: Topic, group: str) -> Letter:
    """A dead letter as it lies in its queue: ours, or one that SQS itself moved there."""
    headers, body = unpack(message)
    ours = kept(message)
    raw = Raw(topic, headers, body)
    count = int(message["Attributes"]["ApproximateReceiveCount"])
    told = ours.letter or {
        "code": "killed",
        "reason": "SQS moved it here: it was received time and again, and nobody said what of it",
        "attempts": ours.attempts + count,
        "parked_at": _time(int(message["Attributes"]["SentTimestamp"])).isoformat(),
    }
    return Letter(
        dead_topic=dead_topic(topic, group),
        letter_id=EventId(str(told.get("id") or letter_id(raw, group))),
        raw=raw,
        code=str(told.get("code", "unknown")),
        reason=str(told.get("reason", "")),
        traceback=str(told.get("traceback", "")),
        attempts=int(told.get("attempts", 0)),
        parked_at=datetime.fromisoformat(told["parked_at"]),
        history=ours.history,
    )


def revived(message: Mapping[str, Any], topic: Topic) -> Packed:
    """A letter as a message again: under its own id, without a past."""
    headers, body = unpack(message)
    claim = kept(message).claim
    return packed(Raw(topic, headers, body), Kept(claim=claim) if claim else None)


def milliseconds(now: datetime) -> int:
    """Since 1970, as SQS counts."""
    return int(now.timestamp() * 1000)


def _time(sent: int) -> datetime:
    return datetime.fromtimestamp(sent / 1000, UTC)
