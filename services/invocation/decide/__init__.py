"""Every rule of invocation, as functions of their arguments."""

from services.invocation.decide.asking import (
    MOST_LOGGED,
    askable,
    continues,
    entry,
    told_upstream,
    undeclared,
    wants_logged,
)
from services.invocation.decide.ending import after, bounded, pause, settlement, stopped
from services.invocation.decide.leases import Pulse, choose, dead, watch
from services.invocation.decide.looking import expired, failed, look, repeatable

__all__ = [
    "MOST_LOGGED",
    "Pulse",
    "after",
    "askable",
    "bounded",
    "choose",
    "continues",
    "dead",
    "entry",
    "expired",
    "failed",
    "look",
    "pause",
    "repeatable",
    "settlement",
    "stopped",
    "told_upstream",
    "undeclared",
    "wants_logged",
    "watch",
]
