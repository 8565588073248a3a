"""Being let in by upstreams that want OAuth (MCP 2026-07-28, "Authorization").

The SDK's clients know the protocol; here are their secrets, kept, and their requests, sent.
"""

from services.invocation.clients.oauth.driving import NO_CREDENTIAL, Driver
from services.invocation.clients.oauth.keeping import Keeper
from services.invocation.clients.oauth.kept import Access, Grant, Method, Registration
from services.invocation.clients.oauth.logins import Asked, Logins
from services.invocation.clients.oauth.revoking import Revoked

__all__ = [
    "NO_CREDENTIAL",
    "Access",
    "Asked",
    "Driver",
    "Grant",
    "Keeper",
    "Logins",
    "Method",
    "Registration",
    "Revoked",
]
