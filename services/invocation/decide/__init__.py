"""Every rule of invocation, as functions of their arguments."""

from services.invocation.decide.ending import after, bounded, pause, settlement
from services.invocation.decide.leases import Pulse, choose, dead, watch
from services.invocation.decide.looking import expired, failed, look, repeatable

__all__ = [
    "Pulse",
    "after",
    "bounded",
    "choose",
    "dead",
    "expired",
    "failed",
    "look",
    "pause",
    "repeatable",
    "settlement",
    "watch",
]
