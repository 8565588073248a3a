"""Every rule of the registry, as functions of their arguments."""

from services.registry.decide.servers import (
    LEGAL,
    REVIEWED,
    accepted,
    changed,
    definition_digest,
    due_for_retirement,
    edited,
    inspected,
    move,
    needs_review,
    read_tool,
    same_tools,
    similar,
    where,
)
from services.registry.decide.toolsets import require_offered

__all__ = [
    "LEGAL",
    "REVIEWED",
    "accepted",
    "changed",
    "definition_digest",
    "due_for_retirement",
    "edited",
    "inspected",
    "move",
    "needs_review",
    "read_tool",
    "require_offered",
    "same_tools",
    "similar",
    "where",
]
