"""Users, who signs in as them, and tenants that can be disabled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("display_name", sa.String, nullable=False),
        sa.Column("email", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("erased_at", sa.BigInteger),
    )
    op.create_table(
        "identities",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("issuer", sa.String, primary_key=True),
        sa.Column("subject", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
    )
    op.create_index("identities_by_user", "identities", ["tenant", "name"])
    op.add_column("tenants", sa.Column("disabled_at", sa.BigInteger))
