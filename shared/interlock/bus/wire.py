"""Between facts and raw messages: stamping, the message authentication code, believing, reading."""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any

from pydantic import ValidationError

from interlock.bus.envelope import Envelope, Raw
from interlock.bus.known import Known
from interlock.bus.port import dead_topic
from interlock.contracts.ids import EventId, derived
from interlock.contracts.message import Fact
from interlock.contracts.registry import MESSAGES
from interlock.contracts.task import TaskFact
from interlock.contracts.topics import TOPOLOGY, Topic
from interlock.errors import Forged, InterlockError, Unreadable

MAC = "mac"
UNSIGNED = frozenset({MAC})


class UnknownType(InterlockError):
    """A newer producer speaks: retried with delay until this consumer is updated, then parked."""

    code = "unknown_type"


def canonical(raw: Raw) -> bytes:
    """The bytes that the code and audit's hash cover: length-prefixed topic, attributes, body.

    Attributes are sorted by name; `mac` itself is left out.
    """
    topic, attributes, body = raw
    form, texts = _form(topic, tuple(attributes), tuple(map(len, attributes.values())))
    head = form % texts(attributes)
    if head.isascii():
        return b"%b%d:%b" % (head.encode(), len(body), body)
    # Characters are not bytes, and it is bytes that are counted.
    words = [topic, *[word for name in _signed(attributes) for word in (name, attributes[name])]]
    parts = [*[word.encode() for word in words], body]
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


@lru_cache(maxsize=1024)
def _form(
    topic: str, names: tuple[str, ...], lengths: tuple[int, ...]
) -> tuple[str, Callable[[Mapping[str, str]], Any]]:
    """The form that takes the texts of the attributes that the code covers, and what picks those
    in its order; a process sees few sets of attributes, and of how long they are."""
    length = dict(zip(names, lengths, strict=True))
    signed = _signed(names)
    blanks = [f"{len(name)}:{name.replace('%', '%%')}{length[name]}:%s" for name in signed]
    form = f"{len(topic)}:{topic}" + "".join(blanks)
    if len(signed) > 1:
        return form, itemgetter(*signed)
    return form, lambda attributes: tuple(attributes[name] for name in signed)


def _signed(names: Iterable[str]) -> list[str]:
    return sorted(set(names) - UNSIGNED)


@dataclass(frozen=True)
class Keyring:
    """The suite's keys for HMAC-SHA256. The first signs; all are accepted, so keys rotate."""

    keys: Mapping[str, bytes] = field(repr=False)
    known: Known = field(default_factory=Known, repr=False, compare=False)
    """What was signed with them in this process."""

    def sign(self, data: bytes) -> str:
        """`<key id>:<hex>`"""
        name = next(iter(self.keys))
        return f"{name}:{self._code(name, data)}"

    def proves(self, data: bytes, code: str) -> bool:
        """Whether `code` was made over `data` by one of our keys."""
        name, _, given = code.partition(":")
        if name not in self.keys or not given.isascii():  # which `compare_digest` wants
            return False
        return hmac.compare_digest(self._code(name, data), given)

    @cached_property
    def _begun(self) -> Mapping[str, hmac.HMAC]:
        """A code for each key, to be copied and gone on with; a key is taken in only once."""
        return {name: hmac.new(key, digestmod="sha256") for name, key in self.keys.items()}

    def _code(self, name: str, data: bytes) -> str:
        code = self._begun[name].copy()
        code.update(data)
        return code.hexdigest()


@dataclass(frozen=True)
class Stamp:
    """Makes raw messages of the facts that one service states."""

    source: str
    keyring: Keyring
    now: Callable[[], datetime]

    def answer(self, cause: Raw, facts: Sequence[Fact]) -> list[Raw]:
        """Facts caused by a message. Ids follow from the cause: the same cause, the same ids."""
        seen: dict[str, int] = {}
        answers = []
        for fact in facts:
            n = seen[fact.type] = seen.get(fact.type, -1) + 1
            made = derived(cause.id, self.source, fact.type, n)
            answers.append(self.state(fact, made, cause.id, cause.attributes.get("traceparent")))
        return answers

    def from_journal(
        self, fact: Fact, place: tuple[int, int], cause: str | None, traceparent: str | None = None
    ) -> Raw:
        """A fact of a journal, timer or door: its id follows from its subject and `place`.

        `place` is (attempt, seq), or whatever pair numbers such facts of one subject.
        """
        made = derived(fact.subject, self.source, fact.type, *place)
        return self.state(fact, made, cause, traceparent)

    def state(self, fact: Fact, event_id: str, cause: str | None, traceparent: str | None) -> Raw:
        """`fact` under a given id."""
        now = self.now()
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": event_id,
            "ce_source": self.source,
            "ce_type": fact.type,
            "ce_subject": fact.subject,
            "ce_time": now.isoformat(),
            "ce_tenant": fact.tenant_id,
        }
        if isinstance(fact, TaskFact):
            attributes["ce_taskkind"] = fact.task.kind.value
        if cause:
            attributes["ce_cause"] = cause
        if traceparent:
            attributes["traceparent"] = traceparent
        raw = Raw(fact.topic, attributes, fact.__pydantic_serializer__.to_json(fact))
        if not TOPOLOGY[fact.topic].signed_by_sender:
            attributes[MAC] = self.keyring.sign(canonical(raw))
            self.keyring.known.add(attributes[MAC], _envelope(raw, fact, now))
        return raw


def believe(raw: Raw, keyring: Keyring) -> None:
    """Raise `Forged` unless the suite (or, where the topic says so, its sender) signed it."""
    spec = TOPOLOGY[raw.topic]
    if spec.signed_by_sender:
        return
    if not keyring.proves(canonical(raw), raw.attributes.get(MAC, "")):
        raise Forged(f"message `{raw.id}` on `{raw.topic}` is not signed by this suite")


def opened(
    raws: Sequence[Raw], keyring: Keyring
) -> list[Envelope[Fact] | Forged | Unreadable | UnknownType]:
    """`read` of each that `believe` lets pass, or what either raised.

    All are proven before the first is read: work of one kind stays in the processor's caches, and
    both together cost a fifth less than message by message.
    """
    find = keyring.known.find
    found = [find(raw.attributes.get(MAC, ""), raw) or _doubt(raw, keyring) for raw in raws]
    return [one or _legible(raw) for raw, one in zip(raws, found, strict=True)]


def _doubt(raw: Raw, keyring: Keyring) -> Forged | None:
    try:
        believe(raw, keyring)
    except Forged as error:
        return error
    return None


def _legible(raw: Raw) -> Envelope[Fact] | Unreadable | UnknownType:
    try:
        return read(raw)
    except (Unreadable, UnknownType) as error:
        return error


def read(raw: Raw) -> Envelope[Fact]:
    """The message in `raw`; `Unreadable` or `UnknownType` where it is none."""
    attributes = raw.attributes
    if "ce_type" not in attributes:
        raise Unreadable(f"message `{raw.id}` on `{raw.topic}` has no type")
    message = MESSAGES.get(attributes["ce_type"])
    if message is None:
        raise UnknownType(f"type `{attributes.get('ce_type')}` is not known to this version")
    if message.topic is not raw.topic:
        raise Unreadable(f"type `{message.type}` does not belong on topic `{raw.topic}`")
    try:
        fact = message.__pydantic_validator__.validate_json(raw.body)
        time = datetime.fromisoformat(attributes["ce_time"])
    except (ValidationError, KeyError, ValueError) as error:
        raise Unreadable(f"message `{raw.id}` of `{message.type}`: {_why(error)}") from None
    if raw.topic is not Topic.TASK_SUBMITTED and fact.tenant_id != attributes.get("ce_tenant"):
        raise Unreadable(f"message `{raw.id}` names two tenants")
    return _envelope(raw, fact, time if time.tzinfo else time.replace(tzinfo=UTC))


def _envelope(raw: Raw, fact: Fact, time: datetime) -> Envelope[Fact]:
    told: Callable[..., Any] = raw.attributes.get
    made, source, cause = told("ce_id", ""), told("ce_source", ""), told("ce_cause")
    return Envelope(made, fact, source, time, cause, told("traceparent"), raw)


def _why(error: Exception) -> str:
    """What is wrong without the values, which may be secret."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"`{'.'.join(map(str, first['loc']))}`: {first['msg'].lower()}"
    return f"attribute {error}" if isinstance(error, KeyError) else str(error)


def body_digest(raw: Raw) -> str:
    """SHA-256 of the raw body."""
    return sha256(raw.body).hexdigest()


def letter_id(raw: Raw, group: str) -> EventId:
    """The id of the dead letter that `group` makes of exactly this message.

    Not the message's own id: a forged one may carry the id of a true one.
    """
    exact = canonical(raw) + raw.attributes.get(MAC, "").encode()
    return EventId(derived(dead_topic(raw.topic, group), sha256(exact).hexdigest()))
