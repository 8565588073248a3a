"""People in teams, one of each."""

import sqlalchemy as sa
from alembic import op

from interlock.storage import JsonText, create_shared_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_shared_tables(op)
    teams = op.create_table(
        "teams", sa.Column("name", sa.String, primary_key=True), sa.Column("about", sa.String)
    )
    people = op.create_table(
        "people",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("team", sa.String, sa.ForeignKey("teams.name", ondelete="CASCADE")),
        sa.Column("notes", JsonText),
    )
    op.bulk_insert(teams, [{"name": "sales", "about": "they sell"}])
    op.bulk_insert(people, [{"name": "ada", "team": "sales"}])
