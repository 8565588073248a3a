"""Fetch, decide, keep: what the registry does at its door and on the bus."""

from services.registry.handlers.servers import Registry, connection_text
from services.registry.handlers.toolsets import Toolsets

__all__ = ["Registry", "Toolsets", "connection_text"]
