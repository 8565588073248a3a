"""Which errors of a database mean that it is away, full or busy, and which are somebody's bug."""

import sqlite3

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from interlock.errors import Unavailable

AWAY_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""https://sqlite.org/rescode.html, primary codes."""

DAMAGED_SQLITE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""The file itself is wrong: waiting does not help, a person does."""

COLLISIONS = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: rolled back, and a repeat may succeed."""

AWAY_POSTGRES = ("08", "25006", "28", "3D", "53", "55P03", "57", "58", "XX")
"""SQLSTATE classes and codes (PostgreSQL, appendix A): connection, read-only, authorization, no
such database, resources, lock, operator's intervention, system, internal."""


class Busy(Unavailable):
    """Another process holds the file: what was asked did not happen, and a repeat may succeed."""


def unavailable(error: DBAPIError, name: str) -> Unavailable | None:
    """What `error` of database `name` is for the rest of the suite; None where it is a bug."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        away = code & 0xFF in AWAY_SQLITE
    else:
        state = sqlstate(error)
        away = (
            error.connection_invalidated or state in COLLISIONS or state.startswith(AWAY_POSTGRES)
        )
    if not away:
        return None
    busy = code is not None and code & 0xFF == sqlite3.SQLITE_BUSY
    kind = Busy if busy else Unavailable
    if code is not None and code & 0xFF in DAMAGED_SQLITE:
        return Unavailable(
            f"database `{name}` is damaged: {_text(error)}; put a backup in its place, or move it "
            "away to begin with an empty one"
        )
    return kind(f"database `{name}` cannot be used now: {_text(error)}")


def driver_of(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection below SQLAlchemy's: a tenth of the way for a statement."""
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # by its dialect
    return driver


def raised(sql: str, error: sqlite3.Error) -> DBAPIError:
    """An error of the driver as SQLAlchemy would raise it."""
    wrapped = DBAPIError.instance(sql, None, error, sqlite3.Error)
    assert isinstance(wrapped, DBAPIError)
    return wrapped


def sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's code of an error, or nothing."""
    return getattr(error.orig, "sqlstate", None) or ""


def _text(error: DBAPIError) -> str:
    """The driver's own words, on one line, without the statement and its parameters."""
    cause = error.orig.__cause__ if error.orig is not None else None
    text = str(cause or error.orig).strip() or type(error.orig).__name__
    return text.splitlines()[0]
