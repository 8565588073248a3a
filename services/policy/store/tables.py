"""Policy's tables."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

from interlock.storage.columns import JsonText, UtcDateTime
from interlock.storage.tables import outbox_table, published_table

METADATA = MetaData()
outbox_table(METADATA)
published_table(METADATA)

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("task_id", String, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("task", Text, nullable=False),
    Column("decision_id", String, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("code", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("because", JsonText, nullable=False),
    Column("approvers", JsonText, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("ask", JsonText),
    Column("facts", JsonText, nullable=False),
    Column("later", JsonText, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("decisions_held", "state", "expires_at"),
)
APPROVALS = Table(
    "approvals",
    METADATA,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("task_id", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("by", String, nullable=False),
    Column("answer", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("request_digest", String, nullable=False),
    Column("held_under", BigInteger, nullable=False),
    Column("judged_under", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("approvals_of_task", "tenant", "task_id"),
)
POLICY_SETS = Table(
    "policy_sets",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("record", Text, nullable=False),
    Column("from_folder", JsonText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("by", String, nullable=False),
    Column("what", Text, nullable=False),
)
