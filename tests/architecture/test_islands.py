"""Each service starts with only itself and `shared` on disk, as in its image."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SERVICES, services

IMPORT_ALL = """
import importlib, pkgutil, sys
from pathlib import Path
service = sys.argv[1]
package = importlib.import_module(f"services.{service}")
assert Path(package.__file__).is_relative_to(Path.cwd()), package.__file__
for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    importlib.import_module(module.name)
strangers = {
    name
    for name in sys.modules
    if name.startswith("services.") and name.split(".")[1] != service
}
assert not strangers, strangers
"""

WITHOUT_BYTECODE = shutil.ignore_patterns("__pycache__")


@pytest.fixture
def island(tmp_path: Path) -> Path:
    """A folder that holds `shared`, and a `services` package without any service."""
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=WITHOUT_BYTECODE)
    (tmp_path / "services").mkdir()
    # A regular package: a namespace package would find the other services elsewhere on the path.
    shutil.copy(SERVICES / "__init__.py", tmp_path / "services")
    return tmp_path


def run(island: Path, service: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_ALL, service],
        cwd=island,
        env={"PYTHONPATH": f"{island}:{island / 'shared'}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("service", services())
def test_every_room_of_a_service_imports_alone(service: str, island: Path) -> None:
    shutil.copytree(SERVICES / service, island / "services" / service, ignore=WITHOUT_BYTECODE)
    alone = run(island, service)
    assert alone.returncode == 0, alone.stderr


def test_a_service_that_leans_on_another_is_found_out(island: Path) -> None:
    leaning = island / "services" / "leaning"
    leaning.mkdir()
    (leaning / "__init__.py").write_text("")
    (leaning / "__main__.py").write_text("import services.audit\n")
    alone = run(island, "leaning")
    assert "No module named 'services.audit'" in alone.stderr
