"""Servers, their history, the outbox and published state."""

import sqlalchemy as sa
from alembic import op

from interlock.storage.tables import create_shared_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_shared_tables(op)
    op.create_table(
        "servers",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("lifecycle", sa.String, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("changes", sa.Text, nullable=False),
        sa.Column("pending", sa.Text, nullable=False),
        sa.Column("inspect_task", sa.String),
        sa.Column("inspect_error", sa.Text),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("servers_by_lifecycle", "servers", ["lifecycle"])
    op.create_table(
        "history",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
