"""A container of one service's image, run for real: `python -m tests.components.image`.

    python -m tests.components.image SERVICE CONTAINER -- buildah OPTIONS…

It starts as uid 10001, must answer over HTTP, and must end well on SIGTERM. What it needs is a
Valkey of ours and keys that were dealt to it; its database is SQLite below /tmp. `image.sh` builds.
"""

UID = "10001"
