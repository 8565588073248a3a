"""What a store states and publishes inside its own transaction, and how the relay finds it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Connection,
    MetaData,
    and_,
    bindparam,
    delete,
    exists,
    literal_column,
    select,
    tuple_,
    update,
)

from interlock.bus.envelope import Raw
from interlock.contracts.message import Model
from interlock.contracts.topics import Topic
from interlock.state.port import Entry, Kind
from interlock.storage.hot import Hot
from interlock.storage.statements import insert_ignore, insert_or
from interlock.storage.tables import outbox_table, published_table

_METADATA = MetaData()
OUTBOX = outbox_table(_METADATA)
PUBLISHED = published_table(_METADATA)
KEY = ("kind", "tenant", "field")
_ENTRY = (PUBLISHED.c.kind, PUBLISHED.c.tenant, PUBLISHED.c.field)
_PENDING = Hot(
    select(
        exists().where(PUBLISHED.c.written == bindparam("written")),
        exists().where(OUTBOX.c.published_at.is_(None)),
    )
)


def state_fact(connection: Connection, raw: Raw) -> None:
    """Publish `raw` once this transaction is committed. The same id again changes nothing."""
    connection.execute(
        insert_ignore(OUTBOX),
        {
            "event_id": raw.id,
            "topic": raw.topic.value,
            "attributes": dict(raw.attributes),
            "body": raw.body,
            "created_at": datetime.fromisoformat(raw.attributes["ce_time"]),
        },
    )


def publish_state(
    connection: Connection, kind: Kind[Model], tenant: str, field: str, record: Model | None
) -> int:
    """Publish `record` under (tenant, field) once this transaction is committed.

    None removes it. Returns the new version, one higher than the last one there.
    """
    body = None if record is None else record.model_dump_json().encode()
    statement = insert_or(
        PUBLISHED,
        KEY,
        {
            "version": PUBLISHED.c.version + 1,
            "body": literal_column("excluded.body"),
            "written": False,
        },
    ).returning(PUBLISHED.c.version)
    row = {"kind": kind.name, "tenant": tenant, "field": field, "body": body}
    version: int = connection.execute(
        statement, row | {"version": 1, "written": False}
    ).scalar_one()
    return version


def pending(connection: Connection) -> tuple[bool, bool]:
    """Whether any published state is not yet seen everywhere; whether any fact is not published."""
    ((state, facts),) = _PENDING.found(connection, {"written": False})
    return bool(state), bool(facts)


def unpublished_facts(connection: Connection, limit: int) -> list[Raw]:
    """The oldest facts that are not yet on the bus."""
    rows = connection.execute(
        select(OUTBOX.c.topic, OUTBOX.c.attributes, OUTBOX.c.body)
        .where(OUTBOX.c.published_at.is_(None))
        .order_by(OUTBOX.c.created_at, OUTBOX.c.event_id)
        .limit(limit)
    )
    return [Raw(Topic(row.topic), row.attributes, row.body) for row in rows]


def mark_published(connection: Connection, facts: Sequence[Raw], now: datetime) -> None:
    """These are on the bus."""
    connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.event_id.in_([fact.id for fact in facts]))
        .values(published_at=now)
    )


def forget_facts(connection: Connection, before: datetime) -> None:
    """Delete what was published before that moment."""
    connection.execute(delete(OUTBOX).where(OUTBOX.c.published_at < before))


def unwritten_entries(connection: Connection, limit: int) -> list[Entry]:
    """Published state that changed and is not yet seen everywhere."""
    return _entries(connection, limit, PUBLISHED.c.written.is_(False))


def entries_after(connection: Connection, last: Entry | None, limit: int) -> list[Entry]:
    """A page of all published state, in the order of its keys."""
    if last is None:
        return _entries(connection, limit)
    after = tuple_(*_ENTRY) > tuple_(last.kind, last.tenant, last.field)
    return _entries(connection, limit, after)


def mark_written(connection: Connection, entries: Sequence[Entry]) -> None:
    """These versions are seen everywhere; a newer one, committed meanwhile, stays pending."""
    connection.execute(
        update(PUBLISHED)
        .where(
            and_(
                *(column == bindparam(f"the_{column.name}") for column in _ENTRY),
                PUBLISHED.c.version == bindparam("the_version"),
            )
        )
        .values(written=True),
        [
            {
                "the_kind": entry.kind,
                "the_tenant": entry.tenant,
                "the_field": entry.field,
                "the_version": entry.version,
            }
            for entry in entries
        ],
    )


def _entries(connection: Connection, limit: int, *conditions: object) -> list[Entry]:
    rows = connection.execute(
        select(*_ENTRY, PUBLISHED.c.version, PUBLISHED.c.body)
        .where(*conditions)  # type: ignore[arg-type]  # conditions on columns, whatever their kind
        .order_by(*_ENTRY)
        .limit(limit)
    )
    return [Entry(row.kind, row.tenant, row.field, row.version, row.body) for row in rows]
