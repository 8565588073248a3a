"""How Interlock is to be let in by an upstream that wants OAuth.

Nothing here needs the SDK, which is imported when the service is up.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Grant(StrEnum):
    """How we are let in (RFC 6749 §1.3)."""

    AUTHORIZATION_CODE = "authorization_code"
    """A person consented."""
    CLIENT_CREDENTIALS = "client_credentials"
    """As ourselves."""


class Method(StrEnum):
    """How we prove at the token endpoint who we are."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    KEY = "private_key_jwt"
    NONE = "none"


class Kept(BaseModel):
    """Secret in part: never shown, never logged."""

    model_config = ConfigDict(frozen=True)


class Registration(Kept):
    """A client that was registered by people; `issuer` is the only one that is shown its secret."""

    client_id: str
    issuer: str
    method: Method = Method.BASIC
    client_secret: str | None = Field(default=None, repr=False)
    private_key: str | None = Field(default=None, repr=False)
    """PEM."""
    algorithm: str = "RS256"


@dataclass(frozen=True)
class Asked:
    """How Interlock is to be let in."""

    grant: Grant = Grant.AUTHORIZATION_CODE
    redirect_uri: str = ""
    """Where the person's browser comes back to."""
    scope: str | None = None
    """Beside what the upstream asks for."""
    registration: Registration | None = None
    """Who we are at its authorization server; without it we register ourselves."""


class Revoked(NamedTuple):
    """Whether what was given is good for nothing any more, and if not, why."""

    done: bool
    why: str = ""
