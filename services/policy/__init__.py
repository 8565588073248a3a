"""Policy: decides whether a task may run, and holds those that a person must approve.

Decides one verdict per task and round, with Cedar, from the tenant's policies and permissions; a
later round is judged together with the request, under its approval, and its end is left to whoever
executes the task.
Reads `task.authenticated` and `task.control`, and the catalogue. States what it decided on
`task.events` and, with a signed grant, on `task.authorized.call`; changed policies on
`state.changed`. Owns decisions, approvals and policy sets, and publishes the latter.
"""
