"""Whom invocation calls: MCP servers over streamable HTTP (both eras) and over stdio.

`Upstream` is the port, `Upstreams` the real thing, `MemoryUpstream` its twin. `Authorized` goes
before one of them, for upstreams that want OAuth (`oauth`); `Secrets` is where that is kept.
Both need the SDK, and are imported when somebody asks for their names (PEP 562); a service that
starts has `LaterUpstream`.
"""

from typing import TYPE_CHECKING

from interlock.lazily import from_modules
from services.invocation.clients.address import LOOPBACK, PRIVATE, AddressGuard
from services.invocation.clients.later import Clients, LaterLogins, LaterUpstream, Means
from services.invocation.clients.memory import MemoryUpstream
from services.invocation.clients.patience import Patience
from services.invocation.clients.port import (
    AskRefused,
    Connection,
    Hear,
    Notice,
    OnAsk,
    OnLog,
    OnProgress,
    Reach,
    StdioCommand,
    Upstream,
    UpstreamAnswer,
    UpstreamCall,
    UpstreamError,
    Wanted,
)
from services.invocation.clients.secrets import FileSecrets, MemorySecrets, Secrets

if TYPE_CHECKING:
    from services.invocation.clients.authorized import Authorized
    from services.invocation.clients.upstreams import Upstreams

__all__ = [
    "LOOPBACK",
    "PRIVATE",
    "AddressGuard",
    "AskRefused",
    "Authorized",
    "Clients",
    "Connection",
    "FileSecrets",
    "Hear",
    "LaterLogins",
    "LaterUpstream",
    "Means",
    "MemorySecrets",
    "MemoryUpstream",
    "Notice",
    "OnAsk",
    "OnLog",
    "OnProgress",
    "Patience",
    "Reach",
    "Secrets",
    "StdioCommand",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamCall",
    "UpstreamError",
    "Upstreams",
    "Wanted",
]

__getattr__ = from_modules(__name__, {"Authorized": "authorized", "Upstreams": "upstreams"})
