"""Every record has its cause, every task one end."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interlock.bus import Raw
from interlock.contracts.changes import DeadLetterDropped
from interlock.contracts.ids import EventId
from interlock.contracts.outcomes import Settlement, TaskRefused, TaskSettled
from interlock.contracts.task import digest_of
from interlock.ledger import Report
from interlock.testing import build
from tests.interlock.ledger.ledgers import Ledger, entry, story

Verify = Callable[..., Report]


@pytest.fixture
def verified(tmp_path: Path) -> Verify:
    """The verdict on a ledger of these messages, `as_of` minutes after noon."""

    def judge(raws: Sequence[Raw], *, as_of: int = 30, fault: str = "") -> Report:
        ledger = Ledger(tmp_path)
        ledger.append(entry(raw, fault=fault) for raw in raws)
        ledger.checkpoint(as_of)
        return ledger.verified()

    return judge


def settled(reason: str = "") -> TaskSettled:
    by, task = build.person(), build.task()
    return TaskSettled(task=task, outcome=Settlement.FAILED, by=by, reason=reason)


def test_a_whole_story_has_nothing_to_find(verified: Verify) -> None:
    report = verified(story())
    assert report.ok
    assert (report.ended_tasks, report.open_count, report.late_causes) == (1, 0, 0)


def test_a_record_without_its_cause_is_found(verified: Verify) -> None:
    asked, allowed, begun, answered = story()
    report = verified([asked, begun, answered])
    assert report.counts == {"cause": 2}
    assert allowed.id in report.findings[0].text


def test_a_cause_may_arrive_a_minute_late(verified: Verify) -> None:
    asked, _, begun, answered = story()
    report = verified([asked, begun, answered], as_of=1)
    assert report.ok
    assert report.late_causes == 2


def test_a_forged_cause_is_no_cause(verified: Verify, tmp_path: Path) -> None:
    asked, *others = story()
    ledger = Ledger(tmp_path)
    forged = entry(asked, fault="forged")
    ledger.append([type(forged)("other", "-", "", 0, forged.kept, "forged")])
    ledger.append(map(entry, others))
    ledger.checkpoint(30)
    assert ledger.verified().counts == {"cause": 1}


@pytest.mark.parametrize("named", [True, False])
def test_a_submission_is_a_cause_if_auth_names_it(verified: Verify, named: bool) -> None:
    accepted = build.raw(build.accepted(submission="submission-1"), "auth", cause="submission-1")
    asked = build.raw(build.authenticated(), "auth", cause="submission-1")
    ended = build.raw(build.denied(), "policy", cause=asked.id)
    raws = [accepted, asked, ended] if named else [asked, ended]
    assert verified(raws).counts == ({} if named else {"cause": 1})


def test_a_sender_that_uses_an_id_again_makes_no_ledger_wrong(verified: Verify) -> None:
    """Refused, corrected, sent again: the SDK does that, and an agent may do worse."""
    refused = TaskRefused(
        tenant="acme",
        agent="sales-copilot",
        client_ref="ref-1",
        code="unknown_agent",
        reason="there is no such agent",
        submission_id=EventId("submission-1"),
        submission_digest=digest_of("first"),
    )
    accepted = build.accepted(submission="submission-1")
    assert accepted.submission_digest != refused.submission_digest
    asked = build.raw(build.authenticated(), "auth", cause="submission-1")
    ended = build.raw(build.denied(), "policy", cause=asked.id)
    auth = [build.raw(fact, "auth", cause="submission-1") for fact in (refused, accepted)]
    assert verified([*auth, asked, ended]).ok


def test_the_cause_of_a_dropped_dead_letter_is_no_event(verified: Verify) -> None:
    dropped = DeadLetterDropped(
        by=build.person(), tenant="acme", name="letter-1", dead_topic="task.events.gateway.dead"
    )
    assert verified([build.raw(dropped, "gateway", cause="letter-1")]).ok


def test_a_task_that_ended_twice_is_found(verified: Verify) -> None:
    asked, allowed, begun, answered = story()
    again = build.raw(build.failed(), "invocation", cause=allowed.id)
    report = verified([asked, allowed, begun, answered, again])
    assert report.counts == {"ends": 1}
    assert "task task-1 ended 2 times" in report.text()


def test_an_unknown_end_may_be_settled_once(verified: Verify) -> None:
    asked, allowed, begun, _ = story()
    unknown = build.raw(build.unknown(), "invocation", cause=allowed.id)
    once, again = (build.raw(settled(why), "invocation") for why in ("found", "found again"))
    assert verified([asked, allowed, begun, unknown, once]).ok
    assert verified([asked, allowed, begun, unknown, once, again]).counts == {"ends": 1}
    assert verified([asked, allowed, begun, once]).counts == {"ends": 1}


def test_an_open_task_is_listed_until_it_is_overdue(verified: Verify) -> None:
    unfinished = story()[:3]
    report = verified(unfinished, as_of=62)
    assert report.ok
    assert [task.task for task in report.open_tasks] == ["task-1"]
    report = verified(unfinished, as_of=64)
    assert report.counts == {"overdue": 1}
    assert not report.open_tasks


def test_what_is_not_believed_ends_no_task(verified: Verify) -> None:
    assert verified(story()[3:], fault="forged").ended_tasks == 0


def test_others_are_not_told_of_a_tenants_tasks(verified: Verify) -> None:
    asked, _, begun, _ = story()
    other = build.raw(build.authenticated("task-2"))
    report = verified([asked, begun, other])
    assert report.findings and report.open_tasks
    seen = report.seen_by(["other"])
    assert not seen.findings and not seen.open_tasks
    assert not seen.ok
    assert report.seen_by(["acme"]) == report
