"""What policy reads from its environment, all of it."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`INTERLOCK_POLICY_…`; read once, in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_POLICY_", frozen=True)

    folder: Path | None = None
    """Policies of `tenant` as `.cedar` files; what is in it is in force after each start."""
    tenant: str = "default"
    """Whose policies the folder holds."""
    sweep_seconds: float = 1.0
    """How often held tasks past their time are looked for."""
    refresh_seconds: float = 0.5
    """How often policies changed by another replica are looked for."""
