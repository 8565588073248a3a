"""What invocation reads from its environment, all of it."""

import base64
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from interlock.contracts.ids import ServerName
from interlock.errors import Refused


class Command(BaseModel):
    """A process that may be started as an MCP server over stdio. An API can only name it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ServerName
    command: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None


class Settings(BaseSettings):
    """`INTERLOCK_INVOCATION_…`; read once, in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_INVOCATION_", frozen=True)

    commands: Path | None = None
    """A TOML or JSON file with a list `commands`."""
    allow_private_addresses: bool | None = None
    """Whether upstreams may be on loopback and private networks; unset, in embedded mode only."""
    logins: Path | None = None
    """The folder of what upstreams let Interlock in with, which all replicas share; unset, `logins`
    in the service's own folder."""
    login_keys: SecretStr | None = None
    """What they are sealed with: keys of 32 bytes in base64, the newest first, separated by commas;
    unset, a key in a file of that folder, made at the first login."""
    client_metadata_url: str | None = None
    """Where our client id metadata document is, for authorization servers that take one."""
    calls: int = Field(default=256, ge=1)
    """Calls at once in one process."""
    calls_per_server: int = Field(default=32, ge=1)
    attempts: int = Field(default=4, ge=1, le=20)
    """The most attempts at one task."""
    first_pause: float = Field(default=0.2, gt=0)
    """Seconds before the second attempt; doubled for each one after."""
    longest_pause: float = Field(default=10.0, gt=0)
    lease_seconds: float = Field(default=3.0, ge=1)
    """A lease ends when its holder gave no sign of life for so long."""
    result_bytes: int = Field(default=1024 * 1024, ge=1024)
    """The largest result that can be delivered."""
    look_seconds: float = Field(default=60.0, gt=0)
    """How often the lists of each upstream are looked at, whatever it tells by itself."""
    keep_days: float = Field(default=30.0, ge=1)
    """How long ended tasks stay in the journal."""

    @property
    def keys(self) -> Sequence[str]:
        """Of logins; none where they are in a file."""
        return () if self.login_keys is None else _keys(self.login_keys.get_secret_value())

    @field_validator("login_keys")
    @classmethod
    def _require_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        given = ["-"] if keys is None else _keys(keys.get_secret_value())
        if keys is not None and (not given or not all(map(_is_key, given))):
            raise ValueError(
                "a key is 32 bytes in URL-safe base64 (`openssl rand -base64 32 | tr +/ -_`); "
                "several are separated by commas, the newest first"
            )
        return keys

    @field_validator("client_metadata_url")
    @classmethod
    def _require_document(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://-/-")
        if parts.scheme != "https" or not parts.hostname or parts.path in {"", "/"}:
            raise ValueError("a client's document is at an `https` URL with a path")
        return url


def _keys(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, b"-_", validate=True)) == 32
    except ValueError:
        return False


def read_commands(path: Path | None) -> tuple[Command, ...]:
    """The operator's stdio commands; `Refused` names the file and what is wrong with it."""
    if path is None:
        return ()
    try:
        text = path.read_text("utf-8")
        found: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        commands = TypeAdapter(tuple[Command, ...]).validate_python(found["commands"])
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Refused(f"cannot read the stdio commands in `{path}`: {why}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"the stdio commands in `{path}` are not valid: {_why(error)}") from None
    names = [command.name for command in commands]
    if twice := {name for name in names if names.count(name) > 1}:
        raise Refused(f"`{path}` names the stdio command `{min(twice)}` twice")
    return commands


def _why(error: Exception) -> str:
    """Without the values: an environment may hold secrets."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"`commands.{'.'.join(map(str, first['loc']))}`: {first['msg'].lower()}"
    return "it needs a list `commands`" if isinstance(error, KeyError | TypeError) else str(error)
