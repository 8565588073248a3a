"""What PostgreSQL lets happen between two statements of one transaction."""

from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from services.invocation.model import State
from services.invocation.store import Journal
from services.invocation.store.rows import Known
from services.invocation.store.writing import insert_entries
from tests.services.invocation.rig import opened
from tests.services.invocation.test_journal import STOP, entry, wanted

GIVEN_BACK = "UPDATE invocation.journal SET state = 'ready', owner = NULL"


async def test_a_stop_that_crosses_a_row_on_its_way_back_finds_it_ready(postgres_url: str) -> None:
    """Else it would be left to a process that has nothing in hand, and heard by nobody."""
    engine = create_async_engine(postgres_url)
    crossed: list[str] = []

    async def give_back() -> None:
        async with engine.begin() as worker:
            await worker.execute(text(GIVEN_BACK))

    def stop(connection: Connection) -> list[Known | None]:
        def looked(_: Connection, cursor: Any, statement: str, *more: Any) -> None:
            if statement.startswith("SELECT") and not crossed:
                crossed.append(statement)
                await_only(give_back())

        event.listen(connection, "after_cursor_execute", looked)
        return insert_entries(connection, [entry(control=STOP)])

    async with opened(postgres_url) as database:
        journal = Journal(database)
        await journal.insert([entry()])
        await journal.claim(wanted())
        (there,) = await database.run(stop)
    await engine.dispose()
    assert crossed
    assert there is not None
    assert there.state is State.READY
