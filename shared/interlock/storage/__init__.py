"""What a service keeps for good: its SQL database, on SQLite or PostgreSQL alike.

Stores are written once, as plain SQLAlchemy Core functions of a connection; `Database` runs each as
one transaction.
"""

from interlock.storage.columns import JsonText, UtcDateTime
from interlock.storage.database import Database
from interlock.storage.migrate import migrate
from interlock.storage.outbox import publish_state, state_fact
from interlock.storage.statements import insert_ignore, insert_or
from interlock.storage.tables import create_shared_tables, outbox_table, published_table

__all__ = [
    "Database",
    "JsonText",
    "UtcDateTime",
    "create_shared_tables",
    "insert_ignore",
    "insert_or",
    "migrate",
    "outbox_table",
    "publish_state",
    "published_table",
    "state_fact",
]
