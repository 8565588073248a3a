"""The repository as its own tests see it: which files there are, and what they say."""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services"
SHARED = ROOT / "shared" / "interlock"
TESTS = ROOT / "tests"


def modules(*tops: Path) -> list[Path]:
    """Every Python module below `tops`."""
    return sorted(path for top in tops for path in top.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The modules that `path` imports anywhere, by full names; relative imports left out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def services() -> list[str]:
    """Every folder of `services/` that can be started."""
    return sorted(path.parent.name for path in SERVICES.glob("*/__main__.py"))


def shown(path: Path, line: int | None = None) -> str:
    """`path` as a failure names it, relative to the repository."""
    relative = str(path.relative_to(ROOT))
    return relative if line is None else f"{relative}:{line}"


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def committed() -> list[Path]:
    """Every file that is committed, or that the next commit would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]
