"""Decisions, approvals, policy sets, the outbox and published state."""

import sqlalchemy as sa
from alembic import op

from interlock.storage.tables import create_shared_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_shared_tables(op)
    op.create_table(
        "decisions",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("task_id", sa.String, primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("decision_id", sa.String, nullable=False),
        sa.Column("policy_version", sa.BigInteger, nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("approvers", sa.Text, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("ask", sa.Text),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("later", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("decisions_held", "decisions", ["state", "expires_at"])
    op.create_table(
        "approvals",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task_id", sa.String, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("answer", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("request_digest", sa.String, nullable=False),
        sa.Column("held_under", sa.BigInteger, nullable=False),
        sa.Column("judged_under", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("approvals_of_task", "approvals", ["tenant", "task_id"])
    op.create_table(
        "policy_sets",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("from_folder", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
    )
