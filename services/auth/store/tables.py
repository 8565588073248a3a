"""Auth's tables. Agents, API keys, issuers, revocations and what doors must know of users are rows
of `published`."""

from sqlalchemy import Column, Index, MetaData, String, Table, Text

from interlock.storage.columns import UtcDateTime
from interlock.storage.tables import outbox_table, published_table

METADATA = MetaData()
outbox_table(METADATA)
PUBLISHED = published_table(METADATA)
TENANTS = Table(
    "tenants",
    METADATA,
    Column("name", String, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)
USERS = Table(
    "users",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("display_name", String, nullable=False),
    Column("email", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("erased_at", UtcDateTime),
)
IDENTITIES = Table(
    "identities",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("issuer", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("name", String, nullable=False),
    Index("identities_by_user", "tenant", "name"),
)
SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("kid", String, primary_key=True),
    Column("public", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("published_until", UtcDateTime),
)
ASSERTIONS = Table(
    "assertions",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("ends_at", UtcDateTime, nullable=False),
    Index("assertions_by_end", "ends_at"),
)
SUBMISSIONS = Table(
    "submissions",
    METADATA,
    Column("message", String, primary_key=True),
    Column("ref", String, unique=True),
    Column("request", String),
    Column("effects", Text, nullable=False),
    Column("judged_at", UtcDateTime, nullable=False),
    Index("submissions_by_age", "judged_at"),
)
