"""What later rounds need: who asks, what was given, what is asked for, and that it is told."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for column in ("client", "given", "request_state", "asked", "answers"):
        op.add_column("journal", sa.Column(column, sa.Text))
    op.add_column("journal", sa.Column("untold_id", sa.String))
    op.add_column("journal", sa.Column("untold_at", sa.BigInteger))
    op.add_column("journal", sa.Column("untold_attributes", sa.Text))
    op.add_column("journal", sa.Column("untold_body", sa.LargeBinary))
    for name, column, where in (
        ("journal_waiting", "deadline", "state = 'waiting'"),
        ("journal_untold", "untold_at", "untold_at IS NOT NULL"),
    ):
        condition = sa.text(where)
        op.create_index(
            name, "journal", [column], sqlite_where=condition, postgresql_where=condition
        )
