"""Statements that standard SQL lacks and both of our databases have, written once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.expression import TableClause


def insert_ignore(table: TableClause) -> Insert:
    """`INSERT … ON CONFLICT DO NOTHING`: rows that are there already stay as they are.

    SQLAlchemy's PostgreSQL form compiles for SQLite, too; the tests hold both to it.
    """
    return insert(table).on_conflict_do_nothing()


def insert_or(table: TableClause, key: Sequence[str], update: Mapping[str, Any]) -> Insert:
    """`INSERT … ON CONFLICT (key) DO UPDATE SET update`.

    A value of `update` may be an expression; `sqlalchemy.literal_column("excluded.x")` is the `x`
    that could not be inserted.
    """
    return insert(table).on_conflict_do_update(index_elements=list(key), set_=dict(update))


def any_of(
    columns: Sequence[ColumnElement[Any]], keys: Iterable[Sequence[Any]]
) -> ColumnElement[bool]:
    """Whether `columns` are one of `keys`, of which there must be one, found by an index of them.

    PostgreSQL takes `(a, b) IN (…)` apart in the same way; SQLite would read the whole table for
    two keys or more.
    """
    return or_(
        *(and_(*(c == value for c, value in zip(columns, key, strict=True))) for key in keys)
    )
