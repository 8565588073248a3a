"""What audit reads from its environment, all of it."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`INTERLOCK_AUDIT_…`; read once, in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_AUDIT_", frozen=True)

    shards: int = Field(default=4, ge=1, le=1024)
    """Chains that are appended to side by side. Fixed when the ledger is made."""
    checkpoint_folder: Path | None = None
    """The anchor: where signed checkpoints are kept, out of reach of the database's owner;
    `<data>/anchor` without it."""
    checkpoint_seconds: float = Field(default=1.0, gt=0)
    """How often heads that moved are signed."""
    keys: Path | None = None
    """Folder of `ledger.key.json`, which signs checkpoints; the suite's folder without it."""
