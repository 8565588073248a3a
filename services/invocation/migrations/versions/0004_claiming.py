"""Ready rows are found by their upstream or deadline; the backlog is counted in an index."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    ready = sa.text("state = 'ready'")
    op.drop_index("journal_ready", "journal")
    for name, columns in (
        ("journal_ready", ["not_before", "accepted_at", "state"]),
        ("journal_ready_of", ["tenant", "server", "not_before"]),
        ("journal_due", ["deadline"]),
    ):
        op.create_index(name, "journal", columns, sqlite_where=ready, postgresql_where=ready)
