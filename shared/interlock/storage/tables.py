"""The two tables that every owner of facts and published state has."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, String, Table

from interlock.storage.columns import JsonText, UtcDateTime


def outbox_table(metadata: MetaData) -> Table:
    """Facts that were committed with the rows they are about, until they are on the bus."""
    return Table(
        "outbox",
        metadata,
        Column("event_id", String, primary_key=True),
        Column("topic", String, nullable=False),
        Column("attributes", JsonText, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("published_at", UtcDateTime),
        Index("outbox_pending", "published_at", "created_at"),
    )


def published_table(metadata: MetaData) -> Table:
    """Published state as its owner has it. A null body is a removal."""
    return Table(
        "published",
        metadata,
        Column("kind", String, primary_key=True),
        Column("tenant", String, primary_key=True),
        Column("field", String, primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("body", LargeBinary),
        Column("written", Boolean, nullable=False),
        Index("published_pending", "written"),
    )


def create_shared_tables(op: Any) -> None:
    """For a service's first migration, with alembic's `op`."""
    metadata = MetaData()
    outbox_table(metadata)
    published_table(metadata)
    metadata.create_all(op.get_bind(), checkfirst=False)
