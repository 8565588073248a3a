"""Tenants, signing keys, judged submissions, the outbox and published state."""

import sqlalchemy as sa
from alembic import op

from interlock.storage.tables import create_shared_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_shared_tables(op)
    op.create_table(
        "tenants",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String, primary_key=True),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("published_until", sa.BigInteger),
    )
    op.create_table(
        "submissions",
        sa.Column("message", sa.String, primary_key=True),
        sa.Column("ref", sa.String, unique=True),
        sa.Column("request", sa.String),
        sa.Column("effects", sa.Text, nullable=False),
        sa.Column("judged_at", sa.BigInteger, nullable=False),
    )
    op.create_index("submissions_by_age", "submissions", ["judged_at"])
