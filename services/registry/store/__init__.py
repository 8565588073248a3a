"""Where the registry keeps servers and toolsets."""

from services.registry.store.servers import METADATA, Change, MemoryServers, Servers, SqlServers
from services.registry.store.toolsets import SqlToolsets

__all__ = ["METADATA", "Change", "MemoryServers", "Servers", "SqlServers", "SqlToolsets"]
