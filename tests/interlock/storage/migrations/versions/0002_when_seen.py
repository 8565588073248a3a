"""When a person was seen, and what a team is: SQLite copies that table, to which rows refer."""

import sqlalchemy as sa
from alembic import op

from interlock.storage import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("teams", recreate="always") as teams:
        teams.add_column(sa.Column("about", sa.String))
    with op.batch_alter_table("people") as people:
        people.add_column(sa.Column("age", sa.Integer))
        people.add_column(sa.Column("seen_at", UtcDateTime))
