"""What is kept of an upstream that wants OAuth: who we are there, and what we were given."""

from enum import StrEnum

from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import BaseModel, ConfigDict, Field

from services.invocation.clients.port import Connection


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


class Discovered(Kept):
    """Where the upstream sends who wants to be let in."""

    resource: ProtectedResourceMetadata | None = None
    server: OAuthMetadata | None = None
    issuer: str | None = None

    @property
    def name(self) -> str:
        """The authorization server's."""
        return str(self.server.issuer) if self.server is not None else self.issuer or "-"


class Pending(Kept):
    """A person was asked to consent, and has not come back yet."""

    state: str = Field(repr=False)
    verifier: str = Field(repr=False)
    redirect_uri: str
    scope: str | None
    registration: Registration | None
    client: OAuthClientInformationFull = Field(repr=False)
    discovered: Discovered
    begun_at: float


class Access(Kept):
    """All that is kept of one upstream. Moments are in seconds since 1970."""

    grant: Grant = Grant.AUTHORIZATION_CODE
    registration: Registration | None = None
    client: OAuthClientInformationFull | None = Field(default=None, repr=False)
    tokens: OAuthToken | None = Field(default=None, repr=False)
    expires_at: float | None = None
    discovered: Discovered = Discovered()
    wanted: str | None = None
    """Scopes that a call lacked: the next consent asks for them, too."""
    pending: Pending | None = None

    @property
    def token(self) -> str | None:
        """What a call carries."""
        return self.tokens.access_token if self.tokens is not None else None

    @property
    def refreshable(self) -> bool:
        """Whether a new token needs nobody."""
        return self.tokens is not None and self.tokens.refresh_token is not None


def name_of(connection: Connection) -> str:
    """A secret is its server's at its URL: whoever moves the server elsewhere does not move it."""
    return "\n".join((connection.tenant, connection.server, connection.at.model_dump_json()))
