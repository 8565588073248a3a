"""The gateway's doors: REST, server-sent events, MCP."""
