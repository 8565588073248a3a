"""Being let in by upstreams that want OAuth (MCP 2026-07-28, "Authorization").

The SDK's clients know the protocol; here are their secrets, kept, and their requests, sent. What
needs the SDK is imported when somebody asks for its name (PEP 562): see `Service.later`.
"""

from typing import TYPE_CHECKING

from interlock.lazily import from_modules
from services.invocation.clients.oauth.asked import (
    Asked,
    Grant,
    Method,
    Registration,
    Revoked,
)
from services.invocation.clients.oauth.port import LogsIn

if TYPE_CHECKING:
    from services.invocation.clients.oauth.driving import NO_CREDENTIAL, Driver
    from services.invocation.clients.oauth.keeping import Keeper
    from services.invocation.clients.oauth.kept import Access
    from services.invocation.clients.oauth.logins import Logins

__all__ = [
    "NO_CREDENTIAL",
    "Access",
    "Asked",
    "Driver",
    "Grant",
    "Keeper",
    "Logins",
    "LogsIn",
    "Method",
    "Registration",
    "Revoked",
]

__getattr__ = from_modules(
    __name__,
    {
        "NO_CREDENTIAL": "driving",
        "Access": "kept",
        "Driver": "driving",
        "Keeper": "keeping",
        "Logins": "logins",
    },
)
