"""That the ledger of truth finds what it is there to find."""

import pytest

from interlock.contracts.outcomes import TaskFailed, TaskSettled, TaskSucceeded, TaskUnknown
from interlock.contracts.task import TaskState
from interlock.sdk import Outcome
from tests.chaos.truth import wrong_with
from tests.components.crm import NOT_REPEATABLE, REPEATABLE

S, ONCE, AGAIN = TaskState, NOT_REPEATABLE, REPEATABLE
OK, NO, OPEN = TaskSucceeded.type, TaskFailed.type, TaskUnknown.type


@pytest.mark.parametrize(
    ("tool", "state", "ends", "calls"),
    [
        (ONCE, S.SUCCEEDED, [OK], 1),
        (ONCE, S.UNKNOWN, [OPEN], 0),
        (ONCE, S.UNKNOWN, [OPEN], 1),
        (ONCE, S.SUCCEEDED, [OPEN, TaskSettled.type], 1),
        (AGAIN, S.SUCCEEDED, [OK], 3),
    ],
)
def test_what_was_promised_is_no_fault(
    tool: str, state: TaskState, ends: list[str], calls: int
) -> None:
    assert not list(wrong_with(tool, Outcome("task", state), ends, calls))


@pytest.mark.parametrize(
    ("tool", "state", "ends", "calls", "told"),
    [
        (ONCE, S.SUCCEEDED, [OK], 2, "called 2 times"),
        (ONCE, S.UNKNOWN, [OPEN], 2, "called 2 times"),
        (ONCE, S.SUCCEEDED, [OK], 0, "called 0 times"),
        (ONCE, S.FAILED, [NO], 1, "called 1 times"),
        (ONCE, S.SUCCEEDED, [OK, NO], 1, "these ends"),
        (ONCE, S.SUCCEEDED, [], 1, "these ends"),
        (ONCE, S.SUCCEEDED, [OPEN], 1, "the ledger says"),
        (ONCE, S.RUNNING, [], 0, "did not end"),
        (AGAIN, S.UNKNOWN, [OPEN], 1, "was lost"),
        (AGAIN, S.SUCCEEDED, [OK], 0, "nobody called"),
    ],
)
def test_what_was_not_promised_is_told(
    tool: str, state: TaskState, ends: list[str], calls: int, told: str
) -> None:
    (found,) = wrong_with(tool, Outcome("task", state), ends, calls)
    assert told in found
