"""Whom invocation calls: MCP servers over streamable HTTP (both eras) and over stdio.

`Upstream` is the port, `Upstreams` the real thing, `MemoryUpstream` its twin.
"""

from services.invocation.clients.address import LOOPBACK, PRIVATE, AddressGuard
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
from services.invocation.clients.upstreams import Upstreams

__all__ = [
    "LOOPBACK",
    "PRIVATE",
    "AddressGuard",
    "AskRefused",
    "Connection",
    "Hear",
    "MemoryUpstream",
    "Notice",
    "OnAsk",
    "OnLog",
    "OnProgress",
    "Patience",
    "Reach",
    "StdioCommand",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamCall",
    "UpstreamError",
    "Upstreams",
    "Wanted",
]
