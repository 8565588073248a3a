"""Invocation: the only one that dials upstreams and fetches their credentials.

Decides whether an authorized task may still run, whether a repeat is safe, and how a task ended.
Reads `task.authorized.call`, `task.control` and the published catalogue, agents and revocations.
Listens, one process for all, to what the catalogue's upstreams say of themselves.
States every start, progress and outcome of a call on `task.events`, and what changed at an
upstream on `upstream.events`.
Owns the journal: a durable work queue with fenced leases.
"""
