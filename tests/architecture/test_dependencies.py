"""What we import is declared, and the lock pins every byte of it without naming where to get it."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.architecture.tree import ROOT, SERVICES, SHARED, imported, modules, pyproject, shown

ENTRY = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?P<rest>.*(?:\n    .*)*)", re.M)
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


OURS = {"interlock", "services"}


def declared(*without: str) -> Iterator[Requirement]:
    """Every requirement, those of the extras `without` left out."""
    project = pyproject()["project"]
    extras = {**project["optional-dependencies"], "": project["dependencies"]}
    for extra in extras.keys() - without:
        for requirement in map(Requirement, extras[extra]):
            if requirement.name != project["name"]:
                yield requirement


def test_every_entry_is_pinned_by_hash() -> None:
    entries = list(ENTRY.finditer(LOCK))
    assert "".join(entry.group() + "\n" for entry in entries) == LOCK
    assert not [entry["name"] for entry in entries if "--hash=sha256:" not in entry["rest"]]


def test_it_names_no_host_and_no_path() -> None:
    assert "/" not in LOCK
    assert "index" not in LOCK


def test_it_satisfies_pyproject() -> None:
    pinned = {canonicalize_name(entry["name"]): entry["version"] for entry in ENTRY.finditer(LOCK)}
    assert not [
        str(requirement)
        for requirement in declared()
        if not requirement.specifier.contains(
            Version(pinned.get(canonicalize_name(requirement.name), "0"))
        )
    ]


def test_every_import_of_the_product_is_declared_by_it() -> None:
    """Not borrowed from another's dependencies, nor from the developers' own tools."""
    known = {canonicalize_name(requirement.name) for requirement in declared("dev")}
    installed = packages_distributions()
    assert not [
        f"{shown(path)}: {module}"
        for path in modules(SERVICES, SHARED)
        for module in {name.partition(".")[0] for name in imported(path)}
        if module not in sys.stdlib_module_names | OURS
        and known.isdisjoint(map(canonicalize_name, installed.get(module, ())))
    ]
