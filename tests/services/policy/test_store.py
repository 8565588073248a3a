"""The tables, and what a decision is after it was kept."""

from dataclasses import replace

from interlock.testing.migrations import assert_migrations_match
from services.policy.model import State
from services.policy.store import METADATA
from tests.components.fixtures import EMPTY
from tests.services.policy.world import BIG, World, answered, asked, task


@EMPTY
async def test_the_migrations_make_the_tables(database_url: str) -> None:
    await assert_migrations_match(database_url, "services.policy.migrations", METADATA)


async def test_a_decision_is_read_as_it_was_kept(world: World) -> None:
    await world.tasks.judge(asked(arguments=BIG, roles=("r",), groups=("g",)))
    row = await world.row(task(arguments=BIG))
    copy = replace(row, task=task("task-2", BIG))
    assert await world.decisions.once([copy]) == [copy]
    (found,) = await world.decisions.of("acme", copy.task.id)
    assert found == copy
    assert found.ask == row.ask
    assert found.ask is not None
    assert (found.ask.arguments, found.ask.roles, found.ask.groups) == (BIG, ("r",), ("g",))


async def test_the_first_of_a_key_wins_within_a_batch_and_later(world: World) -> None:
    await world.tasks.judge(asked())
    known = await world.row(task())
    late, fresh = replace(known, code="late"), replace(known, task=task("task-2"))
    second = replace(fresh, code="second")
    assert await world.decisions.once([late, fresh, second]) == [known, fresh, fresh]


async def test_rounds_of_a_task_are_decisions_of_their_own(world: World) -> None:
    first = await world.tasks.judge(asked())
    second = await world.tasks.judge(answered())
    assert [row.task.round for row in await world.decisions.of("acme", task().id)] == [0, 1]
    assert first[0].id != second[0].id  # type: ignore[union-attr]  # raw messages


async def test_the_arguments_of_an_authorized_task_are_kept_once(world: World) -> None:
    await world.tasks.judge(asked())
    row = await world.row(task())
    assert (row.state, row.ask) == (State.AUTHORIZED, None)
