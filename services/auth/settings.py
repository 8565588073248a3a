"""What auth reads from its environment, all of it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from interlock.contracts.access import Admits, IssuerRecord
from interlock.errors import Refused
from interlock.identity.roles import DEFAULT_TENANT


class NamedIssuer(BaseModel):
    """An issuer of the default tenant that the operator's file names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=r"^https?://[^?#\s]+$", max_length=1024)
    discovery: str | None = None
    """Where we reach it, if that is not its URL: behind another name on a network of our own."""
    audiences: tuple[str, ...] = ()
    agent_claim: str = "client_id"
    user_claim: str = "sub"
    roles_claim: str = "roles"
    admits: Admits = Admits.NAMED

    @property
    def record(self) -> IssuerRecord:
        """As it is trusted, its keys still to be fetched."""
        told = self.model_dump(exclude={"discovery"})
        return IssuerRecord(tenant=DEFAULT_TENANT, jwks="", **told)


class Settings(BaseSettings):
    """`INTERLOCK_AUTH_…`; read once, in `__main__`. None means: as the suite is embedded or not."""

    model_config = SettingsConfigDict(env_prefix="INTERLOCK_AUTH_", frozen=True)

    bootstrap: bool | None = None
    """Make tenant `default` and an operator's key at the first start."""
    issuer: bool | None = None
    """Issue tokens to agents (the embedded issuer)."""
    issuers: Path | None = None
    """A JSON file: a list of issuers that tenant `default` trusts from the start."""
    private_issuers: bool | None = None
    """Trust issuers at `http` URLs and at loopback or private addresses."""
    token_seconds: int = Field(default=600, ge=30, le=86_400)
    """How long an issued token is good for."""
    delegation_hours: float = Field(default=8.0, gt=0, le=24 * 30)
    """How long an agent may act for a user at the most, per delegation."""
    refresh_seconds: float = Field(default=60.0, ge=1)
    """How often the keys of trusted issuers are fetched; sooner where a token shows a new one."""
    keep_days: float = Field(default=30.0, ge=8)
    """How long a `client_ref` is remembered: longer than the bus keeps a submission."""


def read_issuers(path: Path | None) -> tuple[NamedIssuer, ...]:
    """The operator's issuers; `Refused` names the file and what is wrong with it."""
    if path is None:
        return ()
    try:
        return TypeAdapter(tuple[NamedIssuer, ...]).validate_json(path.read_text("utf-8"))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Refused(f"cannot read the issuers in `{path}`: {why}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"]))
        raise Refused(f"the issuers in `{path}`: `/{where}`: {first['msg'].lower()}") from None
