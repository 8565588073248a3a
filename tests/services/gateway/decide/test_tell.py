"""What clients are told."""

import json

import orjson
import pytest

from interlock.contracts.outcomes import Settlement, TaskSettled
from interlock.contracts.task import TaskEvent
from interlock.testing import build
from services.gateway.decide import merge, tell
from services.gateway.model import Milestone, Snapshot
from tests.services.gateway.decide.test_merge import happened, parked

URL = "http://edge/v1/tasks/task-1"


def standing(fact: TaskEvent | None) -> Snapshot:
    snapshot = merge.accepted(build.task(), build.NOON)
    return snapshot if fact is None else merge.merge(snapshot, happened(fact))


def test_a_result_is_relayed_as_it_came_with_fields_that_we_do_not_know() -> None:
    given = '{"content": [], "vendor": {"n": 1.10, "big": 123456789012345678901234567890}}'
    told = tell.tool_result(standing(build.succeeded(result=given)), URL, modern=True)
    assert '"content": [], "vendor": {"n": 1.10, "big": 123456789012345678901234567890}}' in told
    read = json.loads(told)
    assert read["resultType"] == "complete"
    assert read["_meta"][tell.TASK_META] == "task-1"


def test_an_upstream_cannot_say_which_task_it_was() -> None:
    given = '{"_meta": {"dev.interlock/taskId": "forged", "other": 1}, "resultType": "x"}'
    read = json.loads(tell.tool_result(standing(build.succeeded(result=given)), URL, modern=True))
    assert read["_meta"] | {"other": 1} == read["_meta"]
    assert read["_meta"][tell.TASK_META] == "task-1"
    assert read["resultType"] == "x"


def test_the_older_era_is_told_nothing_that_it_does_not_know() -> None:
    assert "resultType" not in tell.tool_result(standing(build.denied()), URL, modern=False)


SAYS = [
    (build.denied(), ["denied", "`crm:export`", "`no-exports`", "task-1"]),
    (build.failed(), ["failed (`unreachable`)", "attempt 1: `not_sent`"]),
    (build.unknown(), ["unknown", "may have had its effect", "attempt 1: `lost`"]),
    (build.cancelled(), ["cancelled by `person:ana`"]),
    (build.held(), ["approval", "`sales-manager`", URL]),
    (parked(True), ["operator", URL]),
    (build.started(), ["still running", URL]),
    (None, ["has not started", URL]),
    (
        TaskSettled(task=build.task(), outcome=Settlement.FAILED, by=build.person()),
        ["failed, says `person:ana`"],
    ),
]


@pytest.mark.parametrize(("fact", "words"), SAYS)
def test_every_other_end_is_a_tool_error_that_says_why(
    fact: TaskEvent | None, words: list[str]
) -> None:
    read = json.loads(tell.tool_result(standing(fact), URL, modern=True))
    assert read["isError"] is True
    (block,) = read["content"]
    for word in words:
        assert word in block["text"]


def test_a_document_holds_the_result_unchanged_and_lists_leave_it_out() -> None:
    snapshot = standing(build.succeeded(result='{"n": 1.10}'))
    assert b'"result":{"n": 1.10}' in orjson.dumps(tell.document(snapshot, URL))
    assert "result" not in tell.document(snapshot, URL, whole=False)


def test_a_milestone_is_one_event_whatever_lines_are_in_it() -> None:
    snapshot = standing(build.succeeded(result='{\n"a":\r\n1}'))
    entry = Milestone(7, "interlock.task.succeeded.v1", build.NOON, None)
    told = tell.milestone(entry, snapshot).decode()
    assert told.startswith("id: 7\nevent: task.succeeded\ndata: {")
    assert told.count("\n") == 4
    data = json.loads(told.split("data: ", 1)[1])
    assert data["result"] == {"a": 1}
