"""What becomes of a server: its lifecycle, its likes, and which definitions are believed."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Any

from interlock.contracts.catalogue import (
    Connection,
    FeatureRecord,
    HttpConnection,
    Inspection,
    Lifecycle,
    ServerRecord,
    ToolRecord,
)
from interlock.contracts.task import digest_of
from interlock.errors import Refused
from services.registry.model import Entry, Similar, ToolChange

L = Lifecycle
LEGAL: Mapping[Lifecycle, frozenset[Lifecycle]] = MappingProxyType(
    {
        L.DRAFT: frozenset({L.SUBMITTED, L.RETIRED}),
        L.SUBMITTED: frozenset({L.SECURITY_REVIEW, L.DRAFT, L.RETIRED}),
        L.SECURITY_REVIEW: frozenset({L.APPROVED_DEV, L.DRAFT, L.RETIRED}),
        L.APPROVED_DEV: frozenset(
            {L.APPROVED_PRODUCTION, L.SECURITY_REVIEW, L.DEPRECATED, L.RETIRED}
        ),
        L.APPROVED_PRODUCTION: frozenset({L.MONITORED, L.SECURITY_REVIEW, L.DEPRECATED}),
        L.MONITORED: frozenset({L.SECURITY_REVIEW, L.DEPRECATED}),
        L.DEPRECATED: frozenset({L.MONITORED, L.RETIRED}),
        L.RETIRED: frozenset(),
    }
)
"""From each state, the states that a server may move to. Retired is the end."""

REVIEWED = frozenset({L.APPROVED_DEV, L.APPROVED_PRODUCTION, L.MONITORED})
"""Moves into these are a reviewer's, never the technical owner's own."""

ALIKE = 0.85
"""Ratio of matching characters from which two purposes count as near-identical."""


def move(
    entry: Entry, to: Lifecycle, *, by: str, retire_on: date | None, today: date
) -> ServerRecord:
    """The record after a move; `Refused` names what is legal or what is missing."""
    record = entry.record
    if to not in LEGAL[record.lifecycle]:
        legal = ", ".join(f"`{state}`" for state in sorted(LEGAL[record.lifecycle])) or "none"
        raise Refused(
            f"server `{record.name}` cannot move from `{record.lifecycle}` to `{to}`; "
            f"legal moves: {legal}",
            code="illegal_move",
            data={"legal": sorted(LEGAL[record.lifecycle])},
        )
    if to in REVIEWED and by == record.technical_owner:
        raise Refused(
            f"`{by}` is the technical owner of server `{record.name}`; "
            f"another reviewer must move it to `{to}`",
            code="forbidden",
        )
    if to in REVIEWED and record.inspected_at is None:
        raise Refused(
            f"server `{record.name}` was not inspected yet, so nobody knows its tools; "
            "inspect it first",
            code="not_inspected",
        )
    if to is L.DEPRECATED and (retire_on is None or retire_on <= today):
        raise Refused(
            f"a deprecated server is retired on a date; give `retire_on` after `{today}`",
            code="retirement_date_needed",
        )
    dated = retire_on if to is L.DEPRECATED else None
    return record.model_copy(update={"lifecycle": to, "retire_on": dated})


def due_for_retirement(entries: Iterable[Entry], today: date) -> list[Entry]:
    """Deprecated servers whose date has come."""
    return [
        entry
        for entry in entries
        if entry.record.lifecycle is L.DEPRECATED
        and entry.record.retire_on is not None
        and entry.record.retire_on <= today
    ]


def similar(record: ServerRecord, others: Iterable[ServerRecord]) -> list[Similar]:
    """Servers that may be the same one: same connection, or near-identical purpose."""
    found = []
    for other in others:
        if other.name == record.name or other.lifecycle is L.RETIRED:
            continue
        if where(other.connection) == where(record.connection):
            found.append(Similar(other.name, f"same connection `{where(record.connection)}`"))
        elif _alike(_purpose(record), _purpose(other)):
            found.append(Similar(other.name, "near-identical purpose"))
    return found


def same_tools(record: ServerRecord, others: Iterable[ServerRecord]) -> list[Similar]:
    """Servers that offer exactly the same set of tools."""
    mine = {tool.name for tool in record.tools}
    return [
        Similar(other.name, "same set of tools")
        for other in others
        if mine and other.name != record.name and {tool.name for tool in other.tools} == mine
    ]


def where(connection: Connection) -> str:
    """A connection's address, in a form in which equal ones compare equal."""
    if isinstance(connection, HttpConnection):
        return connection.url.rstrip("/").lower()
    return f"stdio:{connection.command}"


def _purpose(record: ServerRecord) -> str:
    words = f"{record.capability} {record.description}".lower()
    return " ".join(re.findall(r"[a-z0-9]+", words))


def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return (
        bool(one)
        and matcher.real_quick_ratio() >= ALIKE
        and matcher.quick_ratio() >= ALIKE
        and matcher.ratio() >= ALIKE
    )


REVIEWED_FIELDS = frozenset({"required_scopes", "risk", "data_class", "technical_owner"})
"""What a reviewer looked at when the server was approved."""


def needs_review(entry: Entry, said: Mapping[str, Any], tools: Mapping[str, ToolChange]) -> bool:
    """Whether an edit undoes what an approval rests on: then a reviewer makes it, not an owner.

    A tool's times, and how its calls are answered, are its owner's own affair; all else of it is
    not.
    """
    if not entry.record.lifecycle.callable:
        return False
    before = entry.record.model_dump()
    fields = any(said[name] != before[name] for name in said.keys() & REVIEWED_FIELDS)
    return fields or any(
        replace(change, timeout_seconds=None, execution=None, inline_seconds=None) != ToolChange()
        for change in tools.values()
    )


def inspected(entry: Entry, inspection: Inspection, now: datetime) -> Entry:
    """The entry after a look at the upstream.

    New tools, and everything while nothing was approved, are taken as they are. Once the server
    was approved, a tool whose definition changed stays withheld until a reviewer accepts it, and
    so does a new one.
    """
    approved = entry.record.lifecycle.callable
    known = {tool.name: tool for tool in entry.record.tools}
    taken: list[ToolRecord] = []
    pending: list[ToolRecord] = []
    for text in inspection.tools:
        tool = read_tool(text, entry.changes)
        before = known.get(tool.name)
        unchanged = before is not None and before.digest == tool.digest
        (taken if unchanged or not approved else pending).append(tool)
    seen = {
        "tools": tuple(taken),
        "resources": features(inspection.resources, "uri"),
        "templates": features(inspection.templates, "uriTemplate"),
        "prompts": features(inspection.prompts, "name"),
        "completes": inspection.completes,
        "inspected_at": now,
    }
    record = entry.record.model_copy(update=seen)
    return replace(entry, record=record, pending=tuple(pending), inspect_error=None)


def accepted(entry: Entry, tool: str) -> Entry:
    """The entry after a reviewer believed a withheld tool."""
    found = next((one for one in entry.pending if one.name == tool), None)
    if found is None:
        waiting = ", ".join(f"`{one.name}`" for one in entry.pending) or "none"
        raise Refused(
            f"tool `{tool}` of server `{entry.record.name}` waits for no review; "
            f"waiting: {waiting}",
            code="not_found",
        )
    others = tuple(one for one in entry.record.tools if one.name != tool)
    tools = tuple(sorted((*others, found), key=lambda one: one.name))
    return replace(
        entry,
        record=entry.record.model_copy(update={"tools": tools}),
        pending=tuple(one for one in entry.pending if one.name != tool),
    )


def read_tool(text: str, changes: Mapping[str, ToolChange]) -> ToolRecord:
    """A tool from the upstream's own definition (MCP 2026-07-28, `Tool`).

    A tool is repeatable if its annotations say read-only or idempotent, or its owner says so.
    """
    definition: dict[str, Any] = json.loads(text)
    hints = definition.get("annotations") or {}
    read_only = hints.get("readOnlyHint") is True
    record = ToolRecord(
        name=definition["name"],
        title=definition.get("title") or hints.get("title") or "",
        description=definition.get("description") or "",
        definition=text,
        digest=definition_digest(definition),
        read_only=read_only,
        repeatable=read_only or hints.get("idempotentHint") is True,
    )
    return changed(record, changes.get(record.name, ToolChange()))


def features(texts: Iterable[str], name: str) -> tuple[FeatureRecord, ...]:
    """Resources, templates or prompts from the upstream's own definitions, in order of names.

    `name` is the member that names one; of two with the same name the first one counts.
    """
    found: dict[str, FeatureRecord] = {}
    for text in texts:
        definition: dict[str, Any] = json.loads(text)
        made = FeatureRecord(
            name=definition[name], definition=text, digest=definition_digest(definition)
        )
        found.setdefault(made.name, made)
    return tuple(found[one] for one in sorted(found))


def definition_digest(definition: Mapping[str, Any]) -> str:
    """SHA-256 over the definition with sorted keys and no white space.

    An upstream that only orders its keys another way has not changed the tool.
    """
    return digest_of(
        json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )


def changed(tool: ToolRecord, change: ToolChange) -> ToolRecord:
    """The tool with its owner's settings."""
    values = {name: value for name in vars(change) if (value := getattr(change, name)) is not None}
    return tool.model_copy(update=values)


def edited(entry: Entry, changes: Mapping[str, ToolChange]) -> Entry:
    """The entry after its owner set something of its tools; unknown ones are `Refused`."""
    names = {tool.name for tool in (*entry.record.tools, *entry.pending)}
    if unknown := sorted(changes.keys() - names):
        known = ", ".join(f"`{name}`" for name in sorted(names)) or "none"
        raise Refused(
            f"server `{entry.record.name}` has no tool `{unknown[0]}`; it has {known}",
            code="not_found",
        )
    merged = {
        name: replace(
            entry.changes.get(name, ToolChange()),
            **{k: v for k, v in vars(change).items() if v is not None},
        )
        for name, change in changes.items()
    }
    tools = tuple(changed(tool, merged.get(tool.name, ToolChange())) for tool in entry.record.tools)
    pending = tuple(changed(tool, merged.get(tool.name, ToolChange())) for tool in entry.pending)
    return replace(
        entry,
        record=entry.record.model_copy(update={"tools": tools}),
        changes={**entry.changes, **merged},
        pending=pending,
    )
