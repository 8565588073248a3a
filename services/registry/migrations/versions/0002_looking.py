"""Whether an upstream is being looked at, so that its news are gathered meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "servers", sa.Column("looking", sa.String, nullable=False, server_default=sa.text("''"))
    )
