"""The only door for agents: MCP at `/mcp`, REST and server-sent events at `/v1/tasks`.

It decides who may come in and whether a request is well formed; what a caller may do is policy's
to decide. It reads the published catalogue and policy set, and `task.events`; it states
`task.authenticated`, `task.control` and refusals at its door. It owns the tasks' snapshots, in
Redis: each is the door's outbox until published, and what every client is shown after.
"""
