"""The journal's tables. `state` is compared with literals, so that partial indexes serve."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
    text,
)

from interlock.storage.columns import JsonText, UtcDateTime
from services.invocation.model import State

METADATA = MetaData()
JOURNAL = Table(
    "journal",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("task_id", String, primary_key=True),
    Column("server", String, nullable=False),
    Column("header", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("arguments", Text),
    Column("tool_digest", String),
    Column("cause", String),
    Column("traceparent", String),
    Column("state", String, nullable=False),
    Column("owner", String),
    Column("fence", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("attempts", Text, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("deadline", UtcDateTime, nullable=False),
    Column("control", Text),
    Column("accepted_at", UtcDateTime, nullable=False),
    Column("claimed_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("ended_as", String),
    Column("outcome_attributes", JsonText),
    Column("outcome_body", LargeBinary),
    Column("settled_as", String),
    Column("settlement_attributes", JsonText),
    Column("settlement_body", LargeBinary),
    Column("published_at", UtcDateTime),
    Column("client", Text),
    Column("given", Text),
    Column("request_state", Text),
    Column("asked", Text),
    Column("answers", Text),
    Column("untold_id", String),
    Column("untold_at", UtcDateTime),
    Column("untold_attributes", JsonText),
    Column("untold_body", LargeBinary),
    # The backlog is counted in this one alone; SQLite looks at `state` there or in each row.
    Index(
        "journal_ready",
        "not_before",
        "accepted_at",
        "state",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "journal_ready_of",
        "tenant",
        "server",
        "not_before",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "journal_due",
        "deadline",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "journal_claimed",
        "owner",
        sqlite_where=text("state = 'claimed'"),
        postgresql_where=text("state = 'claimed'"),
    ),
    Index(
        "journal_unpublished",
        "ended_at",
        sqlite_where=text("state = 'ended' AND published_at IS NULL"),
        postgresql_where=text("state = 'ended' AND published_at IS NULL"),
    ),
    Index(
        "journal_waiting",
        "deadline",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(
        "journal_untold",
        "untold_at",
        sqlite_where=text("untold_at IS NOT NULL"),
        postgresql_where=text("untold_at IS NOT NULL"),
    ),
    Index("journal_by_time", "tenant", "accepted_at"),
)
"""One row per task. `arguments` is null where no authorization has arrived: the row only keeps it
from ever running. `published_at` is null while an outcome or settlement has yet to go out.
`asked` is what the upstream wants to know, until it was answered; `given` are answers for the call
that is made next, with its `request_state`, and `answers` those for a call that is under way.
`untold_…` is the message that asks, until it is on the bus."""

WORKERS = Table(
    "workers",
    METADATA,
    Column("owner", String, primary_key=True),
    Column("beat", BigInteger, nullable=False),
)
"""The heartbeat of each process that holds leases: one counter for all that it holds."""

LISTENERS = Table(
    "listeners",
    METADATA,
    Column("name", String, primary_key=True),
    Column("owner", String),
    Column("fence", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)
"""The lease on listening to upstreams: one row. Without an owner it is free."""

HEARD = Table(
    "heard",
    METADATA,
    Column("tenant", String, primary_key=True),
    Column("server", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("lists", Text, nullable=False),
)
"""By upstream: how many changes were stated of it, and its lists as they were then."""

KEY = (JOURNAL.c.tenant, JOURNAL.c.task_id)
IS_READY = JOURNAL.c.state == literal_column(f"'{State.READY}'")
IS_CLAIMED = JOURNAL.c.state == literal_column(f"'{State.CLAIMED}'")
IS_WAITING = JOURNAL.c.state == literal_column(f"'{State.WAITING}'")
IS_ENDED = JOURNAL.c.state == literal_column(f"'{State.ENDED}'")
