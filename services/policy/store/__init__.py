"""What policy keeps: decisions with their approvals, and every version of the policy sets."""

from services.policy.store.decisions import Decisions, MemoryDecisions, SqlDecisions
from services.policy.store.sets import MemorySets, Sets, SqlSets
from services.policy.store.tables import METADATA

__all__ = [
    "METADATA",
    "Decisions",
    "MemoryDecisions",
    "MemorySets",
    "Sets",
    "SqlDecisions",
    "SqlSets",
]
