"""Statements that run for every task, put together once.

SQLAlchemy's way to SQLite costs ten times what SQLite itself needs for a row, and more than the
thread that it spares. So here a statement is compiled once and handed to the driver; on PostgreSQL,
where a round trip outweighs all that, SQLAlchemy executes it as ever.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, Table
from sqlalchemy.sql.expression import Executable, TableClause

from interlock.storage.faults import driver_of, raised
from interlock.storage.statements import insert_ignore

Row = Mapping[str, Any]


class Hot:
    """One statement; each `row` gives values for its parameters by name."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: _Compiled | None = None

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute it for all rows."""
        if rows and connection.dialect.name != "sqlite":
            connection.execute(self._statement, rows)
        elif rows:
            self._for(connection, rows[0]).run(connection, rows)

    def changed(self, connection: Connection, rows: Sequence[Row]) -> list[bool]:
        """Execute it for one row after another; whether each changed anything."""
        if connection.dialect.name != "sqlite":
            return [connection.execute(self._statement, row).rowcount > 0 for row in rows]
        if not rows:
            return []
        compiled = self._for(connection, rows[0])
        return [compiled.execute(connection, row).rowcount > 0 for row in rows]

    def found(self, connection: Connection, row: Row) -> list[tuple[Any, ...]]:
        """The rows that it returns."""
        if connection.dialect.name != "sqlite":
            return [tuple(one) for one in connection.execute(self._statement, row)]
        return self._for(connection, row).found(connection, row)

    def _for(self, connection: Connection, row: Row) -> "_Compiled":
        if self._compiled is None:
            self._compiled = _Compiled(self._statement, connection, row)
        return self._compiled


class InsertNew:
    """Inserts rows whose key is free, and says which were new; of two with one key the first is."""

    def __init__(self, table: TableClause, key: Sequence[str]) -> None:
        self._key = key
        self._hot = Hot(insert_ignore(table))
        self._returning = insert_ignore(table).returning(*(table.c[name] for name in key))

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> list[bool]:
        """For each, whether it was new."""
        if connection.dialect.name == "sqlite":
            return self._hot.changed(connection, rows)
        new = {tuple(one) for one in connection.execute(self._returning, rows)}
        answers = []
        for row in rows:
            key = tuple(row[name] for name in self._key)
            answers.append(key in new)
            new.discard(key)
        return answers


class InsertRows:
    """Inserts whole rows: tuples in the order of the table's columns, whose types must be plain.

    A row with thirty columns is made, named and picked apart for less than SQLite needs for it.
    """

    def __init__(self, table: Table) -> None:
        self._statement = table.insert()
        self._names = tuple(table.c.keys())
        self._compiled: _Compiled | None = None

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """All of them."""
        if not rows:
            return
        if connection.dialect.name != "sqlite":
            named = [dict(zip(self._names, row, strict=True)) for row in rows]
            connection.execute(self._statement, named)
            return
        if self._compiled is None:
            self._compiled = _Compiled(self._statement, connection, dict.fromkeys(self._names))
        self._compiled.run_many(connection, rows)


def _nothing(row: Row) -> tuple[Any, ...]:
    """The parameters of a statement that has none."""
    return ()


class _Compiled:
    """A statement in SQLite's words."""

    def __init__(self, statement: Any, connection: Connection, row: Row) -> None:
        compiled: Any = statement.compile(dialect=connection.dialect, column_keys=list(row))
        self.sql = str(compiled)
        names: list[str] = list(compiled.positiontup or ())
        processors = [compiled._bind_processors.get(name) for name in names]
        self._fixed = compiled.params
        self._pick = itemgetter(*names) if names else _nothing
        """Much less than a look-up for each parameter; a lone one it gives without its tuple."""
        self._lone = len(names) == 1
        self._processed = [(at, one) for at, one in enumerate(processors) if one is not None]
        self._read = [
            (at, process)
            for at, column in enumerate(compiled._result_columns)
            if (process := column.type._cached_result_processor(connection.dialect, None))
        ]

    def values(self, row: Row) -> Sequence[Any]:
        """The parameters in their order, as the driver takes them."""
        try:
            picked = self._pick(row)
        except KeyError:  # the statement itself has values for some
            picked = self._pick({**self._fixed, **row})
        if self._lone:
            picked = (picked,)
        if not self._processed:
            return cast(Sequence[Any], picked)
        values = list(picked)
        for at, process in self._processed:
            values[at] = process(values[at])
        return values

    def execute(self, connection: Connection, row: Row) -> sqlite3.Cursor:
        """For one row; errors are those that SQLAlchemy would raise."""
        try:
            return driver_of(connection).execute(self.sql, self.values(row))
        except sqlite3.Error as error:
            raise raised(self.sql, error) from error

    def found(self, connection: Connection, row: Row) -> list[tuple[Any, ...]]:
        """What it returns for one row."""
        rows: list[tuple[Any, ...]] = self.execute(connection, row).fetchall()
        return [self._as_typed(one) for one in rows] if self._read else rows

    def _as_typed(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for at, process in self._read:
            values[at] = process(values[at])
        return tuple(values)

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """For all rows."""
        self.run_many(connection, map(self.values, rows))

    def run_many(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """The same for parameters that are in their order and of the driver's types."""
        try:
            driver_of(connection).executemany(self.sql, rows)
        except sqlite3.Error as error:
            raise raised(self.sql, error) from error
