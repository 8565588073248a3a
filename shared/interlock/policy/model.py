"""The nouns of a judgement."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from interlock.contracts.catalogue import ServerRecord, ToolRecord
from interlock.contracts.ids import PolicyId
from interlock.contracts.task import Principal, TaskKind

CONTEXT = frozenset({"arguments", "input", "approved", "tokenScopes", "now"})
"""All attributes of a request's context (`interlock.cedarschema`)."""


class Verdict(StrEnum):
    """What policy says of a task."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


@dataclass(frozen=True)
class Asker:
    """Who asks, as its identity statement has it."""

    principal: Principal
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    token_scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What is to be judged. `arguments` is the exact JSON text; `tool` is a call's alone.

    `server` is None for an inspection of a server that the catalogue does not show yet.
    """

    asker: Asker
    kind: TaskKind
    server_name: str
    server: ServerRecord | None
    tool: ToolRecord | None
    arguments: str
    now: datetime
    given: str | None = None
    """The input of a later round, exact JSON text of an object."""
    approved: bool = False
    """A person approved an earlier round of the task."""


@dataclass(frozen=True)
class Rule:
    """One Cedar policy, beside what Cedar itself makes of it."""

    id: PolicyId
    forbids: bool
    reason: str
    """`@reason("…")`: a sentence for people."""
    approvers: tuple[str, ...]
    """`@approvers("role, role")`: who may approve what it holds; empty: any approver."""
    hold_seconds: int | None
    """`@expires("15m")`: how long what it holds may wait."""
    looks_at: frozenset[str]
    """The attributes of the context that it reads."""
    place: str
    """`file:line:column`."""

    @property
    def asks_approval(self) -> bool:
        return "approved" in self.looks_at


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reasons. An empty `because` of a denial: no policy spoke for the task."""

    verdict: Verdict
    policy_version: int
    because: tuple[PolicyId, ...] = ()
    code: str = ""
    """Of a denial: `denied`, `evaluation_error`, `unrepresentable` or `no_common_approver`."""
    reason: str = ""
    missing: tuple[str, ...] = ()
    """Permissions that the principal lacks, where that was the reason."""
    approvers: tuple[str, ...] = ()
    """Of a hold: roles of which an approver needs one; empty: any approver."""
    hold_seconds: int | None = None
    """Of a hold; None: until the task's deadline."""
    errors: tuple[str, ...] = ()
    """What Cedar could not evaluate."""
