"""What was judged of submissions, so that each is judged once whatever is delivered again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import orjson
from sqlalchemy import Connection, delete, or_, select

from interlock.bus import Raw
from interlock.contracts.topics import Topic
from interlock.storage.database import Database
from interlock.storage.hot import InsertNew
from services.auth.model import Judged
from services.auth.store.tables import SUBMISSIONS

Effects = Sequence[Raw]
_INSERT = InsertNew(SUBMISSIONS, ("message",))


class Submissions(Protocol):
    """Judged submissions."""

    async def once(self, judged: Sequence[Judged], now: datetime) -> Sequence[Effects]:
        """What each states, now and whenever it comes again: in order, one each.

        A message that was judged before states what it stated then. The same request under the
        same `client_ref` states what the first one stated; another request is refused.
        """

    async def forget(self, before: datetime) -> None:
        """Drop what was judged before that moment."""


class MemorySubmissions:
    """Dicts, for tests."""

    def __init__(self) -> None:
        self.messages: dict[str, tuple[datetime, Effects]] = {}
        self.refs: dict[tuple[str, str, str], tuple[datetime, str | None, Effects]] = {}

    async def once(self, judged: Sequence[Judged], now: datetime) -> Sequence[Effects]:
        return [self._once(one, now) for one in judged]

    def _once(self, one: Judged, now: datetime) -> Effects:
        if one.message not in self.messages:
            effects = one.effects
            if one.ref is not None:
                _, request, effects = self.refs.setdefault(one.ref, (now, one.request, one.effects))
                effects = effects if request == one.request else one.reused()
            self.messages[one.message] = (now, effects)
        return self.messages[one.message][1]

    async def forget(self, before: datetime) -> None:
        self.messages = {key: row for key, row in self.messages.items() if row[0] >= before}
        self.refs = {key: row for key, row in self.refs.items() if row[0] >= before}


class SqlSubmissions:
    """One row a message; the first of a `client_ref` holds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(self, judged: Sequence[Judged], now: datetime) -> Sequence[Effects]:
        return await self._database.quick(lambda connection: _once(connection, judged, now))

    async def forget(self, before: datetime) -> None:
        statement = delete(SUBMISSIONS).where(SUBMISSIONS.c.judged_at < before)
        await self._database.run(lambda connection: connection.execute(statement).close())


def _once(connection: Connection, judged: Sequence[Judged], now: datetime) -> list[Effects]:
    """Insert all; unless all were new, read back what is there. Those whose `client_ref` is
    another's get a row of their own."""
    if _insert(connection, [_row(one, _ref(one), one.effects, now) for one in judged]):
        return [one.effects for one in judged]
    by_message, by_ref = _found(connection, judged)
    late = []
    for one in judged:
        if one.message not in by_message:
            request, effects = by_ref[_ref(one)]
            told = effects if request == one.request else _written(one.reused())
            late.append(_row(one, None, _read(told), now))
    if late:
        _insert(connection, late)
        by_message, _ = _found(connection, judged)
    return [_read(by_message[one.message]) for one in judged]


def _insert(connection: Connection, rows: list[dict[str, object]]) -> bool:
    """In the order of their keys, so that no two transactions wait for each other. Whether all
    were new."""
    rows.sort(key=lambda row: (str(row["ref"]), str(row["message"])))
    return all(_INSERT(connection, rows))


def _found(
    connection: Connection, judged: Sequence[Judged]
) -> tuple[dict[str, str], dict[str | None, tuple[str | None, str]]]:
    columns = SUBMISSIONS.c
    rows = connection.execute(
        select(columns.message, columns.ref, columns.request, columns.effects).where(
            or_(
                columns.message.in_([one.message for one in judged]),
                columns.ref.in_([ref for one in judged if (ref := _ref(one))]),
            )
        )
    ).all()
    return {row.message: row.effects for row in rows}, {
        row.ref: (row.request, row.effects) for row in rows if row.ref is not None
    }


def _row(one: Judged, ref: str | None, effects: Effects, now: datetime) -> dict[str, object]:
    return {
        "message": one.message,
        "ref": ref,
        "request": one.request,
        "effects": _written(effects),
        "judged_at": now,
    }


def _ref(one: Judged) -> str | None:
    """Neither a tenant's nor an agent's name has a slash in it."""
    return None if one.ref is None else "/".join(one.ref)


def _written(effects: Effects) -> str:
    return orjson.dumps(
        [[raw.topic.value, dict(raw.attributes), raw.body.decode()] for raw in effects]
    ).decode()


def _read(text: str) -> Effects:
    return [
        Raw(Topic(topic), attributes, body.encode())
        for topic, attributes, body in orjson.loads(text)
    ]
