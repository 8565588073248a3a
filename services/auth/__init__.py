"""Auth: who agents and people are, which keys and issuers speak for them, for whom they may act.

Decides whether a task that an agent submitted on the bus is that agent's, and issues tokens to
agents where no other issuer does. Reads `task.submitted`. States `task.accepted`, `task.refused`
and `task.authenticated`, and every change of access on `state.changed`.
Owns tenants, agents, API keys, issuers, revocations and the embedded issuer's signing keys; all but
the last are published state, by which every other service judges its callers by itself.
"""
