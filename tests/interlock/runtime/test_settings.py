"""The suite's settings: what is given, then the environment, then files."""

from pathlib import Path

import pytest

from interlock.errors import Refused
from interlock.runtime.front import edge_settings
from interlock.runtime.main import settings_from_environment


def test_a_setting_may_be_a_file_and_the_environment_outweighs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interlock_database_url").write_text("postgresql://policy:secret@db/policy\n")
    (tmp_path / "interlock_prefix").write_text("file:")
    monkeypatch.setenv("INTERLOCK_SECRETS", str(tmp_path))
    monkeypatch.setenv("INTERLOCK_PREFIX", "environment:")
    found = settings_from_environment()
    assert found.database_url == "postgresql://policy:secret@db/policy"
    assert found.prefix == "environment:"
    assert settings_from_environment(prefix="given:").prefix == "given:"


def test_a_folder_of_settings_that_is_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        monkeypatch.setenv("INTERLOCK_SECRETS", str(place))
        with pytest.raises(Refused, match=f"`INTERLOCK_SECRETS`: `{place}` is no folder"):
            settings_from_environment()


def test_the_edge_says_what_its_routes_should_look_like(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match=r"INTERLOCK_EDGE_ROUTES.*give a JSON object"):
        edge_settings()
    monkeypatch.setenv("INTERLOCK_EDGE_ROUTES", "no json")
    with pytest.raises(Refused, match=r"INTERLOCK_EDGE_ROUTES.*give a JSON object"):
        edge_settings()
    monkeypatch.setenv("INTERLOCK_EDGE_ROUTES", '{"policy": "http://policy:8080/"}')
    assert edge_settings().places == {"policy": "http://policy:8080"}
