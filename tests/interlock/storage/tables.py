"""A small service's tables, whose migrations are beside this file."""

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table

from interlock.storage import JsonText, UtcDateTime, outbox_table, published_table

PACKAGE = "tests.interlock.storage.migrations"
METADATA = MetaData()
TEAMS = Table(
    "teams",
    METADATA,
    Column("name", String, primary_key=True),
    Column("about", String, nullable=False),
)
PEOPLE = Table(
    "people",
    METADATA,
    Column("name", String, primary_key=True),
    Column("team", ForeignKey("teams.name", ondelete="CASCADE")),
    Column("age", Integer),
    Column("seen_at", UtcDateTime),
    Column("notes", JsonText),
)
outbox_table(METADATA)
published_table(METADATA)
