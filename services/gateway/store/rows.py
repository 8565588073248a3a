"""How snapshots lie in Redis: keys, fields, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import orjson
from pydantic import ValidationError

from interlock.contracts.registry import MESSAGES
from interlock.contracts.task import Principal, Task, TaskEvent, TaskState
from services.gateway.decide import merge
from services.gateway.model import Milestone, Place, Snapshot
from services.gateway.store.port import Accepting

FIELDS = ("task", "state", "rank", "type", "fact_id", "fact", "created", "updated", "answers")


@dataclass(frozen=True)
class Keys:
    """What everything is called."""

    prefix: str

    def task(self, place: Place) -> str:
        return f"{self.tasks(place.tenant)}{place.task_id}"

    def tasks(self, tenant: str) -> str:
        return f"{self.prefix}{tenant}:task:"

    def equal(self, task: Task) -> str:
        return self._about("equal", task.principal, task.request_digest)

    def asked(self, principal: Principal, request: str) -> str:
        return self._about("asked", principal, request)

    def _about(self, what: str, who: Principal, text: str) -> str:
        said = orjson.dumps([who.kind.value, who.name, who.user, text])
        return f"{self.prefix}{who.tenant}:{what}:{sha256(said).hexdigest()}"

    def log(self, place: Place) -> str:
        return f"{self.prefix}{place.tenant}:log:{place.task_id}"

    def of(self, principal: Principal) -> str:
        user = "" if principal.user is None else f":{principal.user}"
        return f"{self.prefix}{principal.tenant}:by:{principal.kind}:{principal.name}{user}"

    @property
    def unpublished(self) -> str:
        return f"{self.prefix}unpublished"

    @property
    def deadlines(self) -> str:
        return f"{self.prefix}deadlines"

    @property
    def channel(self) -> str:
        return f"{self.prefix}wake:"


def accepted(new: Accepting, replica: str, *, published: bool) -> tuple[str | bytes, ...]:
    """The fields of a new snapshot, each before its value; `published`: the bus has its request."""
    snapshot, raw = new.snapshot, new.raw
    if published:
        snapshot = merge.published(snapshot)
    fields: dict[str, str | bytes] = {
        "task": snapshot.task.__pydantic_serializer__.to_json(snapshot.task),
        "state": snapshot.state.value,
        "rank": snapshot.rank,
        "created": text(snapshot.created_at),
        "updated": text(snapshot.updated_at),
        "doors": f"{replica},",
    }
    if not published:
        fields["out_attributes"] = orjson.dumps({"topic": raw.topic, **raw.attributes})
        fields["out_body"] = raw.body
    if new.request is not None:
        fields["arguments"] = new.request.arguments
        fields["client"] = new.request.client.model_dump_json()
    return tuple(part for pair in fields.items() for part in pair)


def snapshot(fields: Sequence[bytes | None]) -> Snapshot | None:
    """Of the values of `FIELDS`; None where there is none, or none that we understand."""
    found = {name: value for name, value in zip(FIELDS, fields, strict=True) if value is not None}
    if "state" not in found:
        return None
    fact = _fact(found["type"].decode(), found["fact"]) if "fact" in found else None
    if fact is None and "task" not in found:
        return None
    return Snapshot(
        task=Task.model_validate_json(found["task"]) if fact is None else fact.task,
        state=TaskState(found["state"].decode()),
        rank=found["rank"].decode(),
        created_at=datetime.fromisoformat(found["created"].decode()),
        updated_at=datetime.fromisoformat(found["updated"].decode()),
        fact=fact,
        fact_id=found.get("fact_id", b"").decode(),
        answers=found.get("answers", b"").decode(),
    )


def _fact(type_: str, body: bytes) -> TaskEvent | None:
    """A fact; None where a newer version of the gateway wrote it."""
    message = MESSAGES.get(type_)
    if message is None or not issubclass(message, TaskEvent):
        return None
    try:
        return message.model_validate_json(body)
    except ValidationError:
        return None


def milestone(number: int, entry: bytes) -> Milestone:
    """An entry of a log."""
    type_, time, body = entry.split(b" ", 2)
    fact = _fact(type_.decode(), body) if body else None
    moment = datetime.fromisoformat(time.decode())
    return Milestone(number, type_.decode(), moment, fact)


def member(place: Place) -> str:
    """Of an index."""
    return f"{place.tenant}/{place.task_id}"


def place(found: bytes) -> Place:
    """What a member of an index names."""
    return Place(*found.decode().split("/", 1))


def ms(moment: datetime) -> int:
    """Since the epoch."""
    return int(moment.timestamp() * 1000)


def text(moment: datetime) -> str:
    """Sorts like the moments."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
