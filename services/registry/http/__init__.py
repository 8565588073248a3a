"""The registry's doors: servers and toolsets."""

from services.registry.http.servers import Door, routes
from services.registry.http.toolsets import ToolsetDoor, toolset_routes

__all__ = ["Door", "ToolsetDoor", "routes", "toolset_routes"]
