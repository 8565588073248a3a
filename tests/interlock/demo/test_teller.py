"""What the audience sees, and that a surprise ends the show."""

import json

import pytest

from interlock.demo.teller import Surprise, Teller, expect
from interlock.errors import Refused
from interlock.sdk import Event


def test_a_step_that_is_as_it_says_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(as_json=True)
    with teller.step("allowed", "a call") as step:
        step.say("it begins")
        step.tasks.append("t-1")
        step.event(Event("1", "task.succeeded", {"attempts": []}))
        expect(True, "never said")
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert told["events"] == [{"type": "task.succeeded", "attempts": []}]
    assert teller.tasks == [("allowed", "t-1")]


@pytest.mark.parametrize("error", [Surprise("it was denied"), Refused("it was denied")])
def test_a_step_that_is_not_ends_the_show_and_says_why(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    with pytest.raises(Surprise, match="it was denied"), Teller(as_json=True).step("a", "b"):
        raise error
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["problem"]) == (False, "it was denied")


def test_people_see_lines_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    teller = Teller(as_json=False)
    with teller.step("denied", "a call that is denied") as step:
        facts = {"time": "2026-01-31T12:00:00.5+00:00", "code": "denied", "reason": "no scope"}
        step.event(Event("1", "task.denied", facts))
        step.quote("first\nsecond")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "1. a call that is denied"
    assert "task.denied" in lines[2]
    assert "code: denied; reason: no scope" in lines[2]
    assert lines[3:] == ["     > first", "     > second"]
