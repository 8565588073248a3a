"""Which earlier call a call is, whose client asks again because its stream broke (DESIGN §5).

MCP has such a client send the same request anew, without a key. `store/scripts.py` says the same
in Lua.
"""

from datetime import datetime, timedelta

from interlock.contracts.outcomes import TaskCancelled
from interlock.contracts.task import TaskState
from services.gateway.model import Snapshot

UNTOLD = timedelta(minutes=10)
"""How long an end that nobody was told is kept for whoever asks again."""
GONE = "the client closed the stream of its call"


def is_open(earlier: Snapshot, *, told: bool, now: datetime) -> bool:
    """Whether an equal call joins `earlier`, for which nobody waits.

    One that was cancelled surely had no effect, so an equal call is a call of its own.
    """
    if not earlier.final or earlier.state is TaskState.UNKNOWN:
        return True
    if earlier.state is TaskState.CANCELLED or told:
        return False
    return earlier.updated_at >= now - UNTOLD


def is_void(joined: Snapshot) -> bool:
    """Whether a call that was joined was ended for the sake of the client that had left it."""
    return isinstance(joined.fact, TaskCancelled) and joined.fact.reason == GONE
