"""What every test may ask for, and in which order tests run."""

import gc
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["tests.components.fixtures"]

# A loaded machine is not a counterexample: time limits are pytest-timeout's.
settings.register_profile("interlock", deadline=None)
settings.load_profile("interlock")

DEAREST = ("smoke", "chaos", "conformance", "flows")
"""Folders whose files begin first, so that small ones are left to even out the end of the run."""
ON_ONE_SERVER = {
    "tests/flows/test_keycloak.py": "tests/smoke/test_local.py",
    "tests/flows/test_keycloak_mcp.py": "tests/smoke/test_local.py",
}
"""Files that go to one worker, because a second server would be dearer than waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Dearest first; else as they were collected."""

    def rank(item: pytest.Item) -> int:
        folder = item.nodeid.split("/")[1]
        return DEAREST.index(folder) if folder in DEAREST else len(DEAREST)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: nobody need look for garbage in it."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist=loadfile`, for some files together."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import (  # type: ignore[import-untyped]  # noqa: PLC0415 by xdist alone
        LoadFileScheduling,
    )

    class ByServer(LoadFileScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return ON_ONE_SERVER.get(file, file)

    return ByServer(config, log)
