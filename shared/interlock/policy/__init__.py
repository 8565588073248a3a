"""Judging a call with Cedar: pure, shared by the gateway (to hide) and policy (to decide)."""

from interlock.policy.judge import judge, may_ask, may_see
from interlock.policy.load import builtin_policies, load
from interlock.policy.loaded import LoadedPolicies, PolicySets
from interlock.policy.model import Asker, Judgement, Question, Rule, Verdict

__all__ = [
    "Asker",
    "Judgement",
    "LoadedPolicies",
    "PolicySets",
    "Question",
    "Rule",
    "Verdict",
    "builtin_policies",
    "judge",
    "load",
    "may_ask",
    "may_see",
]
