"""Small enough to read at one sitting. Raising a limit is a decision, not a fix."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import SERVICES, SHARED, modules, shown

LONGEST_MODULE = 300
LONGEST_FUNCTION = 39


def long_functions(source: str) -> Iterator[int]:
    """The line of each function that is too long; decorators and parameters are not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if (node.end_lineno or node.lineno) - node.body[0].lineno + 2 > LONGEST_FUNCTION:
                yield node.lineno


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_no_module_is_too_long() -> None:
    counted = {shown(path): lines(path) for path in modules(SERVICES, SHARED)}
    assert not {path: count for path, count in counted.items() if count > LONGEST_MODULE}


def test_no_function_is_too_long() -> None:
    assert not [
        shown(path, line)
        for path in modules(SERVICES, SHARED)
        if "migrations" not in path.parts  # a list of columns, not logic
        for line in long_functions(path.read_text("utf-8"))
    ]


def test_the_limit_of_a_function_counts_its_first_and_last_line() -> None:
    head, step = "async def walk():\n", "    step()\n"
    assert list(long_functions(head + step * (LONGEST_FUNCTION - 1))) == []
    assert list(long_functions(head + step * LONGEST_FUNCTION)) == [1]
