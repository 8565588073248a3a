"""Published state: what one service owns and every service must see at once (DESIGN §2).

The port and its kinds are here; `interlock.state.redis` is what runs, `interlock.state.memory` its
twin for tests.
"""

from interlock.state.port import (
    AGENTS,
    API_KEYS,
    CATALOGUE,
    ISSUERS,
    POLICY,
    REVOCATIONS,
    TOOLSETS,
    USERS,
    Entry,
    Kind,
    StateReader,
    StateWriter,
    View,
)

__all__ = [
    "AGENTS",
    "API_KEYS",
    "CATALOGUE",
    "ISSUERS",
    "POLICY",
    "REVOCATIONS",
    "TOOLSETS",
    "USERS",
    "Entry",
    "Kind",
    "StateReader",
    "StateWriter",
    "View",
]
