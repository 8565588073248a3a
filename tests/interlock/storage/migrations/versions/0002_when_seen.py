"""A team has to say what it is; SQLite copies that table, to which rows refer."""

import sqlalchemy as sa
from alembic import op

from interlock.storage import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("teams") as teams:
        teams.alter_column("about", existing_type=sa.String, nullable=False)
    with op.batch_alter_table("people") as people:
        people.add_column(sa.Column("age", sa.Integer))
        people.add_column(sa.Column("seen_at", UtcDateTime))
