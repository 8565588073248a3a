"""The repository builds anywhere: no file names the machine that wrote it or where it shops."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import committed, shown

# Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.$}-])/(work|root|home/\w+|Users/\w+)/\w")
REGISTRY_HOST = re.compile(r"\b(pypi[.]org|pythonhosted[.]org|index-url[ =]+\S*://)")


def places(text: str) -> Iterator[int]:
    """The number of each line that names a machine's path or a package registry's host."""
    for number, line in enumerate(text.splitlines(), start=1):
        if MACHINE_PATH.search(line) or REGISTRY_HOST.search(line):
            yield number


def text_of(path: Path) -> str:
    """What the file says; nothing, if it is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_committed_file_names_a_machine_path_or_a_registry_host() -> None:
    assert not [shown(path, line) for path in committed() for line in places(text_of(path))]


@pytest.mark.parametrize(
    "parts",
    [
        ["cd ", "/work", "/main"],
        ["DATA=", "/home", "/ana/data"],
        ["https://", "pypi", ".org/simple"],
        ["--index", "-url https://example.org"],
    ],
)
def test_a_place_is_found(parts: list[str]) -> None:
    assert list(places("fine\n" + "".join(parts))) == [2]


def test_a_path_inside_a_url_or_the_repository_is_no_place() -> None:
    assert not list(places("https://example.org/work/items\nshared/home/ana\n"))
