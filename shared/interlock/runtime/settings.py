"""What every process of the suite reads from its environment, all of it."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from interlock.errors import Refused


class SuiteSettings(BaseSettings):
    """Settings that all services share: `INTERLOCK_…`. Read once, at the start of a process.

    What the environment does not say may stand in a file of its name, in lower case, in the folder
    `INTERLOCK_SECRETS`: a URL with a password in it, say, in `interlock_database_url`.
    """

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_", frozen=True, extra="ignore")

    secrets: Path | None = None
    """A folder of settings, one a file: secrets as an orchestrator hands them out."""
    data: Path = Path(".interlock")
    """Everything that the embedded mode keeps: broker, databases, keys, ledger's anchor."""
    bus_url: str | None = None
    """Its scheme chooses the transport. Without it a Valkey server of our own runs below `data`."""
    redis_url: str | None = None
    """Published state and snapshots; without it `bus_url` where that is one, else our own."""
    database_url: str | None = None
    """PostgreSQL for all services (a schema each); SQLite files below `data` without it."""
    keys: Path | None = None
    """Folder of the suite's key and of the services' signing keys; `<data>/keys` without it."""
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = None
    """How callers reach the edge; `http://<host>:<port>` without it."""
    embedded: bool = True
    """A laptop: missing keys are made at the first start, auth makes an operator's key."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: console lines on a terminal, JSON elsewhere."""
    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    """With it as bearer token a scraper reads `/metrics`; operators with their own; nobody else.
    Without it whoever reaches the port does: then that must be a private network's."""
    prefix: str = "interlock:"
    """Before every Redis key, so that suites can share a server."""
    body_limit: int = 1 << 20
    """Bytes that a request to any door but the gateway's (its own setting) may have."""
    drain_seconds: float = 20.0
    """How long a stop may take: requests in hand, batches in hand, telemetry."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was given, then the environment, then files."""
        folder = os.environ.get("INTERLOCK_SECRETS")
        if folder is not None and not Path(folder).is_dir():
            raise Refused(f"settings: `INTERLOCK_SECRETS`: `{folder}` is no folder; name one")
        files = SecretsSettingsSource(settings_cls, secrets_dir=folder)
        return (init_settings, env_settings, files)

    @property
    def keys_folder(self) -> Path:
        return self.keys or self.data / "keys"

    @property
    def url(self) -> str:
        """The edge's URL, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    def database_of(self, service: str) -> str:
        """The URL of one service's database."""
        return self.database_url or f"sqlite:///{self.data.absolute() / service}.db"


class EdgeSettings(BaseSettings):
    """`INTERLOCK_EDGE_…`: of the edge where it is a process of its own."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_EDGE_", frozen=True)

    routes: dict[str, HttpUrl] = Field(min_length=1)
    """The origin of each service by the first segment of the path; the gateway's answers at `/`."""

    @property
    def places(self) -> dict[str, str]:
        return {name: str(url).rstrip("/") for name, url in self.routes.items()}
