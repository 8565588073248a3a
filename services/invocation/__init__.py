"""Invocation: the only one that dials upstreams and fetches their credentials.

Decides whether an authorized task may still run, whether a repeat is safe, and how a task ended.
Reads `task.authorized.call`, `task.control` and the published catalogue, agents and revocations.
Listens, one process for all, to what the catalogue's upstreams say of themselves.
States every start, progress and outcome of a call on `task.events`, and what changed at an
upstream on `upstream.events`.
Owns the journal: a durable work queue with fenced leases.

An upstream that wants input has the row wait, with nobody's lease, until policy granted an answer;
then the call is made again. One that asks in the middle of a call, as servers did before MCP
2026-07-28, has its call parked under its lease, which ends with the process as any call does.
"""
