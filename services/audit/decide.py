"""Every rule of audit, as pure functions."""

import heapq
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from interlock.bus.envelope import Arrival, Raw
from interlock.bus.wire import read
from interlock.contracts import outcomes
from interlock.contracts.changes import StateChanged
from interlock.contracts.ids import derived
from interlock.contracts.message import Fact
from interlock.contracts.requests import CallAuthorized
from interlock.contracts.task import Principal, PrincipalKind, TaskFact
from interlock.contracts.topics import Topic
from interlock.contracts.upstream_events import UpstreamChanged
from interlock.errors import InterlockError, Refused
from interlock.identity.roles import DEFAULT_TENANT
from interlock.ledger import NOBODY, Entry, keep, parts
from services.audit.model import Found, Index, Kept, Place

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LONGEST = 255
WATCHERS = frozenset({"admin", "operator"})
"""Roles that also see what is no tenant's: refusals of unauthenticated callers, forgeries."""
OUTCOMES: Mapping[type[Fact], str] = {
    outcomes.TaskSucceeded: "succeeded",
    outcomes.TaskFailed: "failed",
    outcomes.TaskDenied: "denied",
    outcomes.TaskCancelled: "cancelled",
    outcomes.TaskUnknown: "unknown",
}
DECISIONS: Mapping[type[Fact], str] = {
    CallAuthorized: "allow",
    outcomes.TaskDenied: "deny",
    outcomes.TaskHeld: "hold",
    outcomes.TaskApproved: "approve",
}


def keeping(arrival: Arrival, now: datetime) -> Kept:
    """What the ledger keeps of an arrival, and what it is found by."""
    entry = entry_of(arrival, micros(now))
    return Kept(entry, index_of(arrival.raw, arrival.fact))


def entry_of(arrival: Arrival, arrived_at: int) -> Entry:
    """What the ledger keeps of an arrival.

    A message of a type that is still unknown here carries the suite's code, so its id is its own.
    That of one which is forged or unreadable follows from its bytes, and a forged one's tenant is
    nobody: what it claims must not reach anybody's view.
    """
    raw, fault = arrival.raw, arrival.fault or ""
    kept = keep(raw)
    event_id = _clean(raw.id)
    if fault in {"forged", "unreadable"} or event_id != raw.id or not event_id:
        event_id = derived("ledger", sha256(kept).hexdigest())
    claimed = raw.attributes.get("ce_tenant", NOBODY) or NOBODY
    return Entry(
        event_id=event_id,
        tenant=NOBODY if fault == "forged" else _clean(claimed),
        subject=_clean(raw.attributes.get("ce_subject", "")),
        arrived_at=arrived_at,
        kept=kept,
        fault=fault,
        reason=_clean(arrival.reason, 1000),
    )


def index_of(raw: Raw, fact: Fact | None) -> Index:
    """What a message is found by; of one that is not believed only what its outside claims."""
    told = raw.attributes.get
    inside = _inside(fact) if fact is not None else {}
    return Index(
        topic=str(raw.topic),  # what a member's `value` tells in a tenth of the time
        type=_clean(told("ce_type", "")),
        source=_clean(told("ce_source", "")),
        cause=_optional(told("ce_cause")),
        stated_at=_stated(told("ce_time", "")),
        traceparent=_optional(told("traceparent")),
        **inside,
    )


def index_again(entry: Entry) -> Index:
    """What a kept message is found by: a column that says something else was tampered with."""
    topic, attributes, body = parts(entry.kept)
    raw = Raw(Topic(topic), attributes, body)
    if entry.fault:
        return index_of(raw, None)
    try:
        return index_of(raw, read(raw).body)
    except InterlockError:
        return index_of(raw, None)


def in_causal_order(found: Sequence[Found]) -> list[Found]:
    """Each after what caused it, and otherwise by the time that it says itself."""
    by_id = {one.entry.event_id: one for one in found}
    caused: dict[str, list[Found]] = {}
    ready: list[tuple[int, int, int, str]] = []
    for one in found:
        cause = one.index.cause
        if cause in by_id and cause is not None:
            caused.setdefault(cause, []).append(one)
        else:
            heapq.heappush(ready, _moment(one))
    ordered: list[Found] = []
    while ready:
        event_id = heapq.heappop(ready)[-1]
        ordered.append(by_id.pop(event_id))
        for one in caused.get(event_id, ()):
            heapq.heappush(ready, _moment(one))
    return ordered + sorted(by_id.values(), key=_moment)  # causes that go in a circle


def visible_tenants(principal: Principal, roles: Sequence[str]) -> tuple[str, ...]:
    """Whose records a caller sees: its own tenant's, and who runs the suite what is nobody's.

    That is what is forged: it may claim any tenant, and hold what it took from another.
    """
    own = (principal.tenant,)
    runs = principal.tenant == DEFAULT_TENANT and WATCHERS & set(roles)
    return (*own, NOBODY) if runs else own


def cursor_of(found: Found) -> str:
    """Where a page ended."""
    record = found.record
    return f"{found.entry.arrived_at}.{record.shard}.{record.seq}"


def place_of(cursor: str) -> Place:
    """Where the next page begins; `Refused` (`invalid`) for a cursor that is none of ours."""
    numbers = cursor.split(".")
    if len(numbers) != 3 or not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers):
        raise Refused(f"`{cursor[:64]}` is no cursor; take `next` of a page", code="invalid")
    return Place(*map(int, numbers))


def micros(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The other way."""
    return EPOCH + timedelta(microseconds=microseconds)


def _inside(fact: Fact) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if isinstance(fact, TaskFact):
        task = fact.task
        told = _course(fact) | _who(task.principal)
        told["kind"], told["server"], told["tool"] = str(task.kind), task.server, task.tool
    elif isinstance(fact, StateChanged):
        told = _who(fact.by)
    elif isinstance(fact, UpstreamChanged):
        told = {"server": fact.server}
    elif isinstance(fact, outcomes.DoorRefused):
        told = {"server": _optional(fact.server), "tool": _optional(fact.tool)}
        told |= _who(fact.principal) if fact.principal else {}
    elif isinstance(fact, outcomes.TaskRefused):
        told = {"agent": _clean(fact.agent)}
    return told


def _who(principal: Principal) -> dict[str, Any]:
    if principal.kind is PrincipalKind.AGENT:
        return {"agent": _clean(principal.name), "user": _optional(principal.user)}
    if principal.kind is PrincipalKind.PERSON:
        return {"user": _clean(principal.name)}
    return {"user": _optional(principal.user)}


def _course(fact: TaskFact) -> dict[str, Any]:
    """What was decided, and how it ended."""
    kind = type(fact)
    told: dict[str, Any] = {"decision": DECISIONS.get(kind), "outcome": OUTCOMES.get(kind)}
    if isinstance(fact, (outcomes.TaskDenied, outcomes.TaskHeld)):
        told |= {"policy_version": fact.policy_version, "decision_id": fact.decision_id}
    elif isinstance(fact, outcomes.TaskApproved):
        told["policy_version"] = fact.approved_under
    elif isinstance(fact, outcomes.TaskSettled):
        told["outcome"] = fact.outcome.value
    elif isinstance(fact, CallAuthorized):
        claims = _claims(fact.grant)
        version, decision = claims.get("policy_version"), claims.get("decision_id")
        told["policy_version"] = version if isinstance(version, int) else None
        told["decision_id"] = decision if isinstance(decision, str) else None
    if attempts := vars(fact).get("attempts"):
        told["latency"] = sum(attempt.seconds for attempt in attempts)
    return told


def _claims(statement: str) -> dict[str, Any]:
    """What a JWS says, believed by whoever acts on it; here it is only told."""
    try:
        payload = statement.split(".")[1]
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _stated(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return micros(time if time.tzinfo else time.replace(tzinfo=UTC))


def _moment(one: Found) -> tuple[int, int, int, str]:
    stated = one.index.stated_at or one.entry.arrived_at
    return stated, one.entry.arrived_at, one.record.seq, one.entry.event_id


def _optional(text: str | None) -> str | None:
    return None if text is None else _clean(text)


def _clean(text: str, longest: int = LONGEST) -> str:
    """`text` as every database takes it: no control characters or halves of pairs, not long."""
    if text.isprintable() and len(text) <= longest:
        return text
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:longest])
