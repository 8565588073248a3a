"""Where auth keeps what it knows: what it publishes, its signing keys, and what it judged."""

from services.auth.store.access import MemoryStore, Records, Store
from services.auth.store.sql import SqlStore
from services.auth.store.submissions import MemorySubmissions, SqlSubmissions, Submissions
from services.auth.store.tables import METADATA

__all__ = [
    "METADATA",
    "MemoryStore",
    "MemorySubmissions",
    "Records",
    "SqlStore",
    "SqlSubmissions",
    "Store",
    "Submissions",
]
