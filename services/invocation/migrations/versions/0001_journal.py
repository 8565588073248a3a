"""The journal, and the heartbeats of those who work on it."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("task_id", sa.String, primary_key=True),
        sa.Column("server", sa.String, nullable=False),
        sa.Column("header", sa.Text, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("arguments", sa.Text),
        sa.Column("tool_digest", sa.String),
        sa.Column("cause", sa.String),
        sa.Column("traceparent", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("owner", sa.String),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("control", sa.Text),
        sa.Column("accepted_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_as", sa.String),
        sa.Column("outcome_attributes", sa.Text),
        sa.Column("outcome_body", sa.LargeBinary),
        sa.Column("settled_as", sa.String),
        sa.Column("settlement_attributes", sa.Text),
        sa.Column("settlement_body", sa.LargeBinary),
        sa.Column("published_at", sa.BigInteger),
    )
    for name, column, where in (
        ("journal_ready", "not_before", "state = 'ready'"),
        ("journal_claimed", "owner", "state = 'claimed'"),
        ("journal_unpublished", "ended_at", "state = 'ended' AND published_at IS NULL"),
    ):
        condition = sa.text(where)
        op.create_index(
            name, "journal", [column], sqlite_where=condition, postgresql_where=condition
        )
    op.create_index("journal_by_time", "journal", ["tenant", "accepted_at"])
    op.create_table(
        "workers",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
