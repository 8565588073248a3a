"""Input that was granted: it makes a row that waits ready, or reaches whoever makes the call."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, select, update

from services.invocation.decide import continues
from services.invocation.model import Key, Round, State
from services.invocation.store.rows import Known, client_text, known
from services.invocation.store.tables import JOURNAL


class Taken(StrEnum):
    """What became of a round."""

    EARLY = "early"
    """What it builds on is not here yet."""
    REPEATED = "repeated"
    """It, or a later one, came before; or the task has ended."""
    FORGED = "forged"
    """It is of another request."""
    READY = "ready"
    """The row waited for it, and can be claimed."""
    PASSED_ON = "passed_on"
    """To whoever makes the call, or will make it again."""


def give(connection: Connection, given: Round, now: datetime) -> tuple[Taken, Known | None]:
    """Take a round in, once; and the row as it was before."""
    task = given.task
    key: Key = (task.tenant, task.id)
    of = JOURNAL.c.tenant == key[0], JOURNAL.c.task_id == key[1]
    row = connection.execute(select(JOURNAL).where(*of).with_for_update()).first()
    if row is None:
        return Taken.EARLY, None
    there = known(row)
    if there.state is State.ENDED or there.round >= task.round:
        return Taken.REPEATED, there
    if there.round + 1 < task.round:
        return Taken.EARLY, there
    if not continues(there.job, given):
        return Taken.FORGED, there
    waited = there.state is State.WAITING
    changes = {
        "header": task.model_dump_json(),
        "round": task.round,
        "digest": task.request_digest,
        "cause": given.cause,
        "traceparent": given.traceparent,
        "client": client_text(given.client),
    }
    if waited:
        changes |= {"state": State.READY.value, "not_before": now}
        changes |= {"given": given.given, "asked": None}
    else:
        changes |= {"answers": given.given}
    connection.execute(update(JOURNAL).where(*of).values(changes))
    return Taken.READY if waited else Taken.PASSED_ON, there
