"""A silenced rule is named, and says why: `# noqa: TID251 the process's edge reads the clock`."""

import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.architecture.tree import SERVICES, SHARED, TESTS, modules, shown

SILENCES = re.compile(r"#\s*(noqa|type:\s*ignore|ruff:\s*noqa|mypy:|pyright:|pylint:)", re.I)
EXPLAINED = re.compile(
    r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* \S"
    r"|# type: ignore\[[\w-]+(, [\w-]+)*\]  # \S"
)


def unexplained(source: str) -> Iterator[int]:
    """The line of each comment that silences a tool without naming rule and reason."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and SILENCES.search(token.string):
            if not EXPLAINED.search(token.string):
                yield token.start[0]


def test_every_suppression_names_its_rule_and_its_reason() -> None:
    assert not [
        shown(path, line)
        for path in modules(SERVICES, SHARED, TESTS)
        for line in unexplained(path.read_text("utf-8"))
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: E501",
        "# type: ignore",
        "# type: ignore[arg-type]",
        "# ruff: noqa: E501 too wide",
        "# mypy: ignore-errors",
    ],
)
def test_a_suppression_without_a_reason_is_found(comment: str) -> None:
    assert list(unexplained(f"x = 1  {comment}\n")) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: PLC0415 costs 80 ms, and few need it",
        "x = 1  # type: ignore[arg-type]  # its stubs forget bytes",
        "x = 'no comment: # noqa'",
    ],
)
def test_a_suppression_with_a_reason_passes(line: str) -> None:
    assert list(unexplained(f"{line}\n")) == []
