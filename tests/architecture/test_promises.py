"""What README.md promises is proven by a test, and a test that claims a promise finds it there.

A line of README.md that promises something ends in `<!-- promise: its-id -->`; the test that would
fail if it were broken is marked `@pytest.mark.promise("its-id")`.
"""

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import ROOT, TESTS, modules

PROMISE = re.compile(r"<!-- promise: ([a-z0-9]+(?:-[a-z0-9]+)*) -->$", re.M)
README = (ROOT / "README.md").read_text("utf-8")


def claimed(source: str) -> Iterator[str]:
    """The ids that tests of a module claim, whether by decorator or by `pytestmark`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)


def test_every_promise_is_claimed_by_a_test_and_every_claim_was_promised() -> None:
    claims = {claim for path in modules(TESTS) for claim in claimed(path.read_text("utf-8"))}
    assert claims == set(PROMISE.findall(README))


def test_no_promise_is_made_twice_or_malformed() -> None:
    promises = PROMISE.findall(README)
    assert len(set(promises)) == len(promises)
    assert len(promises) == README.count("<!-- promise")


def test_a_promise_and_a_claim_are_recognised() -> None:
    line = "Nothing runs without a grant. <!-- promise: no-grant-no-call -->\n"
    assert PROMISE.findall(line) == ["no-grant-no-call"]
    source = "@pytest.mark." + "promise('no-grant-no-call')\ndef test_it(): ...\n"
    assert list(claimed(source)) == ["no-grant-no-call"]
