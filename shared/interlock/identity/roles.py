"""What people and agents may do at the doors. Tools are policy's: see `interlock.policy`."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from interlock.errors import Refused

DEFAULT_TENANT = "default"
"""The tenant whose people run the suite: what is every tenant's, or nobody's, is theirs."""


class Right(StrEnum):
    """One thing that a door lets through."""

    STATUS_READ = "status:read"
    DEAD_READ = "dead:read"
    DEAD_WRITE = "dead:write"
    TASKS_SUBMIT = "tasks:submit"
    TASKS_READ = "tasks:read"
    """Of others; its own tasks anybody may see."""
    TASKS_CANCEL = "tasks:cancel"
    """Of others."""
    TASKS_SETTLE = "tasks:settle"
    APPROVALS_READ = "approvals:read"
    APPROVALS_DECIDE = "approvals:decide"
    POLICY_READ = "policy:read"
    POLICY_WRITE = "policy:write"
    SERVERS_READ = "servers:read"
    SERVERS_WRITE = "servers:write"
    SERVERS_REVIEW = "servers:review"
    JOURNAL_READ = "journal:read"
    AUDIT_READ = "audit:read"
    ACCESS_READ = "access:read"
    """Agents, users, keys' names, issuers, revocations."""
    AGENTS_WRITE = "agents:write"
    USERS_WRITE = "users:write"
    KEYS_WRITE = "keys:write"
    ISSUERS_WRITE = "issuers:write"
    REVOKE = "revocations:write"
    TENANTS_WRITE = "tenants:write"


R = Right
_EVERYBODY = frozenset({R.TASKS_SUBMIT, R.SERVERS_READ})
_WATCH = frozenset({R.STATUS_READ, R.TASKS_READ, R.JOURNAL_READ, R.ACCESS_READ, R.POLICY_READ})
RIGHTS: Mapping[str, frozenset[Right]] = MappingProxyType(
    {
        "admin": frozenset(Right),
        "operator": _EVERYBODY
        | _WATCH
        | {R.DEAD_READ, R.DEAD_WRITE, R.TASKS_CANCEL, R.TASKS_SETTLE, R.APPROVALS_READ}
        | {R.SERVERS_WRITE, R.AUDIT_READ, R.AGENTS_WRITE, R.USERS_WRITE, R.KEYS_WRITE}
        | {R.REVOKE},
        "owner": _EVERYBODY | {R.SERVERS_WRITE, R.STATUS_READ},
        "reviewer": _EVERYBODY
        | {R.SERVERS_REVIEW, R.POLICY_READ, R.POLICY_WRITE, R.STATUS_READ, R.ACCESS_READ},
        "approver": _EVERYBODY | {R.APPROVALS_READ, R.APPROVALS_DECIDE, R.TASKS_READ},
        "auditor": _EVERYBODY | _WATCH | {R.AUDIT_READ, R.APPROVALS_READ},
        "agent": _EVERYBODY,
    }
)
"""Roles of people, and of agents, and what each may do. Roles unknown here give nothing."""


class Holder(Protocol):
    """Who has roles."""

    @property
    def roles(self) -> tuple[str, ...]: ...


def has(caller: Holder, right: Right) -> bool:
    """Whether any role of the caller gives `right`."""
    return any(right in RIGHTS.get(role, ()) for role in caller.roles)


def require(caller: Holder, right: Right) -> None:
    """`Refused` (`forbidden`), naming the roles that would do, unless the caller has one."""
    if not has(caller, right):
        giving = [role for role, rights in RIGHTS.items() if right in rights]
        raise Refused(
            f"`{right}` needs one of the roles {', '.join(f'`{role}`' for role in giving)}",
            code="forbidden",
            data={"right": right.value, "roles": giving},
        )
