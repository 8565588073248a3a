"""That the report of the matrix is what was counted, and is shown."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos import conftest
from tests.chaos.report import HEAD, REPORT, tables
from tests.chaos.stands import STANDS


@dataclass
class Paper:
    """Where pytest writes."""

    stats: dict[str, list[Any]]
    said: list[str] = field(default_factory=list)

    def section(self, title: str) -> None:
        self.said.append(title)

    def write_line(self, line: str) -> None:
        self.said.append(line)


def test_the_committed_report_is_that_of_what_was_counted() -> None:
    assert REPORT.read_text() == "\n".join([HEAD, tables(STANDS)])


@pytest.mark.parametrize(("full", "shown"), [(True, ["kafka", "sqs"]), (False, [])])
def test_a_full_run_shows_the_stands_that_it_played(
    full: bool, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conftest, "FULL", full)
    played = SimpleNamespace(nodeid="test_matrix.py::test_each[kafka-poisoned]")
    failed = SimpleNamespace(nodeid="test_matrix.py::test_each[sqs-stopped]")
    paper = Paper({"passed": [played], "failed": [failed]})
    conftest.pytest_terminal_summary(paper)  # type: ignore[arg-type]  # all that is asked of it
    assert paper.said[1:] == ([tables(shown)] if shown else [])
