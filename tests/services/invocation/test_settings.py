"""What operators write down, and what they are told of mistakes."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from interlock.errors import Refused
from services.invocation.settings import Command, Settings, read_commands

TOML = """
[[commands]]
name = "clock"
command = "mcp-server-time"
args = ["--local-timezone", "UTC"]
"""


def written(folder: Path, text: str, name: str = "commands.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_no_file_means_no_commands() -> None:
    assert read_commands(Settings().commands) == ()


def test_commands_are_read_from_toml_and_json(tmp_path: Path) -> None:
    expected = (Command(name="clock", command="mcp-server-time", args=("--local-timezone", "UTC")),)
    assert read_commands(written(tmp_path, TOML)) == expected
    text = json.dumps({"commands": [command.model_dump() for command in expected]})
    assert read_commands(written(tmp_path, text, "commands.json")) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("commands = 1", "input should be"),
        ("[other]", "needs a list `commands`"),
        ("[[commands]]\nname = 'Bad Name'\ncommand = 'x'", "commands.0.name"),
        ("[[commands]]\nname = 'a'\ncommand = 'x'\nshell = true", "commands.0.shell"),
        (TOML + TOML, "`clock` twice"),
        ("not toml", "not valid"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        read_commands(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no such file"):
        read_commands(tmp_path / "nowhere.toml")


def test_secrets_of_a_command_are_not_told(tmp_path: Path) -> None:
    bad = TOML + 'env = { TOKEN = ["hunter2"] }\n'
    with pytest.raises(Refused) as refused:
        read_commands(written(tmp_path, bad))
    assert "hunter2" not in refused.value.detail


def test_keys_of_logins_are_listed_the_newest_first() -> None:
    one, two = "A" * 43 + "=", "B" * 42 + "A="
    assert Settings(login_keys=SecretStr(f"{two}, {one},")).keys == [two, one]
    assert Settings().keys == ()


@pytest.mark.parametrize("text", ["", "tell-tale", "A" * 44 + "=,tell-tale", "AAAA"])
def test_a_key_that_is_none_is_not_told(text: str) -> None:
    with pytest.raises(ValidationError, match="32 bytes") as told:
        Settings(login_keys=SecretStr(text))
    assert "tell-tale" not in str(told.value)
