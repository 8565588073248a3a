"""What is kept of an upstream that wants OAuth: who we are there, and what we were given."""

from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import Field

from services.invocation.clients.oauth.asked import Grant, Kept, Registration
from services.invocation.clients.port import Connection


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
