"""What auth reads from its environment, all of it."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`INTERLOCK_AUTH_…`; read once, in `__main__`. None means: as the suite is embedded or not."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_AUTH_", frozen=True)

    bootstrap: bool | None = None
    """Make tenant `default` and an operator's key at the first start."""
    issuer: bool | None = None
    """Issue tokens to agents (the embedded issuer)."""
    private_issuers: bool | None = None
    """Trust issuers at `http` URLs and at loopback or private addresses."""
    token_seconds: int = Field(default=600, ge=30, le=86_400)
    """How long an issued token is good for."""
    delegation_hours: float = Field(default=8.0, gt=0, le=24 * 30)
    """How long an agent may act for a user at the most, per delegation."""
    refresh_seconds: float = Field(default=300.0, ge=1)
    """How often the keys of trusted issuers are fetched."""
    keep_days: float = Field(default=30.0, ge=8)
    """How long a `client_ref` is remembered: longer than the bus keeps a submission."""
