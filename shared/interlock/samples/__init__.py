"""MCP servers to try Interlock on: a small CRM with failures on demand, and a bare echo."""
