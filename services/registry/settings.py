"""What the registry reads from its environment, all of it."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`INTERLOCK_REGISTRY_…`; read once, in `__main__`."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_REGISTRY_", frozen=True)

    inspect_seconds: float = 60.0
    """How long an `inspect` task may take before its deadline ends it."""
    sweep_seconds: float = 60.0
    """How often servers past their retirement date are looked for."""
    wait_limit: float = 30.0
    """The longest `Prefer: wait` that the door grants, in seconds."""
