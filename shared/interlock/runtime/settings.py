"""What every process of the suite reads from its environment, all of it."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SuiteSettings(BaseSettings):
    """Settings that all services share: `INTERLOCK_…`. Read once, at the start of a process."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_", frozen=True, extra="ignore")

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
    prefix: str = "interlock:"
    """Before every Redis key, so that suites can share a server."""
    body_limit: int = 1 << 20
    """Bytes that a request to any door but the gateway's (its own setting) may have."""
    drain_seconds: float = 20.0
    """How long a stop may take: requests in hand, batches in hand, telemetry."""

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
