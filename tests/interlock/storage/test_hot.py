"""Statements of the hot path say the same on both databases, errors included."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError

from interlock.storage import Database
from interlock.storage.hot import Hot, InsertNew, InsertRows
from tests.interlock.storage.tables import PEOPLE

NAME = PEOPLE.c.name
FIND = Hot(select(NAME, PEOPLE.c.age).where(NAME == bindparam("of")))
AGE = Hot(
    update(PEOPLE).where(NAME == bindparam("of"), PEOPLE.c.age < 100).values(age=PEOPLE.c.age + 1)
)
ADD = Hot(PEOPLE.insert())
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_of_rows_with_one_key_the_first_is_new(database: Database) -> None:
    insert = InsertNew(PEOPLE, ("name",))
    rows = [{"name": "bob", "age": 1}, {"name": "ada", "age": 2}, {"name": "bob", "age": 3}]
    assert await database.quick(lambda c: insert(c, rows)) == [True, False, False]
    assert await database.read(lambda c: FIND.found(c, {"of": "bob"})) == [("bob", 1)]


async def test_each_row_is_told_whether_it_changed(database: Database) -> None:
    await database.quick(
        lambda c: ADD.run(c, [{"name": "bob", "age": 40}, {"name": "eve", "age": 100}])
    )
    rows = [{"of": "bob"}, {"of": "nobody"}, {"of": "eve"}]
    assert await database.quick(lambda c: AGE.changed(c, rows)) == [True, False, False]
    assert await database.read(lambda c: FIND.found(c, {"of": "bob"})) == [("bob", 41)]


async def test_what_is_found_is_of_its_columns_types(database: Database) -> None:
    notes = {"é": [1, None]}
    bob = {"name": "bob", "seen_at": NOON, "notes": notes}
    await database.quick(lambda c: c.execute(PEOPLE.insert(), bob))
    await database.quick(lambda c: c.execute(PEOPLE.insert(), {"name": "eve"}))
    find = Hot(select(NAME, PEOPLE.c.seen_at, PEOPLE.c.notes).where(NAME == bindparam("of")))
    assert await database.read(lambda c: find.found(c, {"of": "bob"})) == [("bob", NOON, notes)]
    assert await database.read(lambda c: find.found(c, {"of": "eve"})) == [("eve", None, None)]


async def test_changed_rows_tell_what_they_are_now(database: Database) -> None:
    await database.quick(lambda c: ADD.run(c, [{"name": "bob", "age": 40}]))
    seen = update(PEOPLE).where(NAME == bindparam("of")).values(seen_at=bindparam("at"))
    seen_at = Hot(seen.returning(NAME, PEOPLE.c.seen_at))
    found = await database.quick(lambda c: seen_at.found(c, {"of": "bob", "at": NOON}))
    assert found == [("bob", NOON)]
    assert await database.quick(lambda c: seen_at.found(c, {"of": "nobody", "at": NOON})) == []


async def test_no_rows_are_nothing_to_do(database: Database) -> None:
    assert await database.quick(lambda c: AGE.changed(c, [])) == []
    await database.quick(lambda c: ADD.run(c, []))


async def test_a_broken_rule_is_the_same_error_everywhere(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await database.quick(lambda c: ADD.run(c, [{"name": "ada"}]))
    with pytest.raises(IntegrityError):
        await database.quick(lambda c: ADD.changed(c, [{"name": "ada"}]))


async def test_whole_rows_are_inserted_as_they_are_or_not_at_all(database: Database) -> None:
    insert = InsertRows(PEOPLE)
    bob, eve, dan = [(name, None, 7, None, None) for name in ("bob", "eve", "dan")]
    await database.quick(lambda c: insert(c, [bob, eve]))
    await database.quick(lambda c: insert(c, []))
    assert await database.read(lambda c: FIND.found(c, {"of": "eve"})) == [("eve", 7)]
    with pytest.raises(IntegrityError):
        await database.quick(lambda c: insert(c, [dan, bob]))
    assert await database.read(lambda c: FIND.found(c, {"of": "dan"})) == []
