"""Assertions that were used, until they have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "assertions",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
    op.create_index("assertions_by_end", "assertions", ["ends_at"])
