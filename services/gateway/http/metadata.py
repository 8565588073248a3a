"""Metadata for OAuth clients: of our protected resources (RFC 9728), of the embedded issuer."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.contracts.access import IssuerRecord
from interlock.errors import Refused
from interlock.identity.asgi import answered
from interlock.identity.issuer import issuer_metadata, issuer_url
from interlock.identity.roles import DEFAULT_TENANT
from interlock.identity.standing import EVERY_TENANT
from interlock.state.port import View
from services.gateway.http.answers import answer

RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server/auth"
"""Where RFC 8414 §3.1 looks for an issuer whose URL ends with `/auth`."""
CACHED = {"Cache-Control": "public, max-age=60"}
DOORS = ("", "/mcp", "/servers/{name}/mcp", "/toolsets/{name}/mcp")
"""Resources of their own, by path."""


class ResourceMetadata:
    """What clients learn before they have a token, and so whoever asks."""

    def __init__(self, url: str, issuers: View[IssuerRecord], scopes: tuple[str, ...] = ()) -> None:
        self._url = url
        self._issuers = issuers
        self._scopes = scopes

    async def resource(self, request: Request) -> Response:
        """Metadata of the protected resource that the path names (RFC 9728)."""
        path = request.scope["raw_path"].decode("ascii", "replace").removeprefix(RESOURCE)
        told: dict[str, object] = {
            "resource": f"{self._url}{path}",
            "resource_name": "Interlock",
            "bearer_methods_supported": ["header"],
        }
        if servers := self._servers():
            told["authorization_servers"] = servers
        if self._scopes:
            told["scopes_supported"] = self._scopes
        return answer(told, 200, CACHED)

    def _servers(self) -> list[str]:
        """Issuers of the tenant that runs the suite, where people can sign in, and after them our
        own. Other tenants' are nobody else's business: their people know where they sign in."""
        records = self._issuers.of(DEFAULT_TENANT).values()
        found = sorted(record.issuer for record in records if record.announced)
        return [*found, *sorted(self._issuers.of(EVERY_TENANT))]

    async def issuer(self, request: Request) -> Response:
        """Metadata of the embedded issuer (RFC 8414), where its URL says that it is."""
        if self._issuers.get(EVERY_TENANT, issuer_url(self._url)) is None:
            raise Refused("this suite issues no tokens itself", code="not_found")
        return answer(issuer_metadata(self._url), 200, CACHED)


def metadata_routes(metadata: ResourceMetadata) -> list[Route]:
    """All of them; nobody needs a token here."""
    return [
        *(Route(f"{RESOURCE}{path}", metadata.resource) for path in DOORS),
        Route(SERVER, answered(metadata.issuer)),
    ]
