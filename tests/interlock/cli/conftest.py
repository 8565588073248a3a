"""The `interlock` command, run in this process against a suite that runs in another."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from interlock.cli.main import app
from tests.components.running import Ran
from tests.components.world import World, world


@dataclass(frozen=True)
class Cli:
    """`interlock` with options before every command."""

    options: tuple[str, ...]

    def __call__(self, *words: str) -> Ran:
        result = CliRunner().invoke(app, [*self.options, *words], catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def json(self, *words: str, code: int = 0) -> Any:
        """What it prints with `--json`."""
        ran = self(*words, "--json")
        assert ran.code == code, ran
        return json.loads(ran.out)

    def ok(self, *words: str) -> Ran:
        ran = self(*words)
        assert ran.code == 0, ran
        return ran


@pytest.fixture(scope="session")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running suite with the CRM and its agent."""
    with world(tmp_path_factory.mktemp("governed")) as running:
        yield running


@pytest.fixture
def operator(governed: World) -> Cli:
    """The suite's operator, by the key in the data folder."""
    return Cli(("--url", governed.suite.url, "--data", str(governed.suite.data)))


@pytest.fixture
def agent(governed: World) -> Cli:
    """The agent that may use the CRM."""
    return Cli(("--url", governed.suite.url, "--token", governed.key))


@pytest.fixture
def alone(tmp_path: Path) -> Cli:
    """Nothing runs where this one looks."""
    return Cli(("--url", "http://127.0.0.1:9", "--token", "none", "--data", str(tmp_path)))
