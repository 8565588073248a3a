"""Registry: the catalogue of servers and tools, its lifecycle, and sets of tools.

Decides which move of a server is legal and which tool definitions are believed.
Reads `task.events` (how its `inspect` tasks ended).
Looks again at an upstream that changed (`upstream.events`).
States `task.authenticated` (its `inspect` tasks) and what happens to servers on `state.changed`.
Owns servers, their history and the published catalogue. Dials nobody: invocation does.
"""
