"""Every service draws on the same few rooms, and can be found by its name."""

import ast

import pytest

from interlock.contracts import topics
from tests.architecture.tree import SERVICES, SHARED, modules, pyproject, services, shown

NO_ROOMS = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def test_no_module_is_named_after_nothing() -> None:
    assert not [shown(path) for path in modules(SERVICES, SHARED) if path.stem in NO_ROOMS]
    assert not [
        shown(path)
        for top in (SERVICES, SHARED)
        for path in top.rglob("*")
        if path.is_dir() and path.name in NO_ROOMS
    ]


def test_every_service_of_the_topology_exists_and_is_found_by_its_entry_point() -> None:
    entries = pyproject()["project"]["entry-points"]["interlock.services"]
    assert entries == {name: f"services.{name}.__main__:service" for name in services()}
    assert set(entries) == set(topics.SERVICES)


@pytest.mark.parametrize("service", services())
def test_a_service_says_in_a_paragraph_what_it_decides_reads_states_and_owns(service: str) -> None:
    source = (SERVICES / service / "__init__.py").read_text("utf-8")
    assert len((ast.get_docstring(ast.parse(source)) or "").split()) >= 10
