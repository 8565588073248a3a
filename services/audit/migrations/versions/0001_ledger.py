"""The ledger, its heads and its checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("shards", sa.Integer, nullable=False),
    )
    op.create_table(
        "heads",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table("records", *_chain(), *_found_by(), _once())
    for name, *columns in (
        ("records_by_subject", "tenant", "subject"),
        ("records_by_arrival", "tenant", "arrived_at"),
        ("records_by_agent", "tenant", "agent", "arrived_at"),
        ("records_by_server", "tenant", "server", "arrived_at"),
    ):
        op.create_index(name, "records", columns)
    op.create_table(
        "checkpoints",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("statement", sa.Text, nullable=False),
    )
    op.create_index("checkpoints_by_time", "checkpoints", ["time"])


def _chain() -> list[sa.Column[object]]:
    return [
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("previous", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("event_id", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("arrived_at", sa.BigInteger, nullable=False),
        sa.Column("kept", sa.LargeBinary, nullable=False),
        sa.Column("fault", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    ]


def _found_by() -> list[sa.Column[object]]:
    return [
        sa.Column("topic", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("cause", sa.String),
        sa.Column("stated_at", sa.BigInteger),
        sa.Column("traceparent", sa.String),
        sa.Column("kind", sa.String),
        sa.Column("agent", sa.String),
        sa.Column("user", sa.String),
        sa.Column("server", sa.String),
        sa.Column("tool", sa.String),
        sa.Column("decision", sa.String),
        sa.Column("decision_id", sa.String),
        sa.Column("policy_version", sa.BigInteger),
        sa.Column("outcome", sa.String),
        sa.Column("latency", sa.Float),
    ]


def _once() -> sa.UniqueConstraint:
    return sa.UniqueConstraint("event_id", name="records_once")
