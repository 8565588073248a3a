"""What services sign for each other (DESIGN §6): identity, by the door that checked, and grant.

A statement is a JWS signed with Ed25519. Its `typ` says what it states, so that none passes for
another; its `kid` is `<service>:<thumbprint>`.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from types import MappingProxyType
from typing import Any

from joserfc.jwk import OKPKey
from joserfc.registry import Header

from interlock.contracts.ids import Digest
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind, request_digest
from interlock.errors import Forged
from interlock.identity import jose
from interlock.identity.jose import Claims, Unproven

IDENTITY = "interlock-identity+jwt"
GRANT = "interlock-grant+jwt"

DOORS = frozenset({"gateway", "auth"})
MAY_IDENTIFY: Mapping[TaskKind, frozenset[str]] = MappingProxyType(
    {
        TaskKind.CALL: DOORS,
        TaskKind.READ: DOORS,
        TaskKind.PROMPT: DOORS,
        TaskKind.COMPLETE: DOORS,
        TaskKind.INSPECT: frozenset({"registry"}),
        TaskKind.DELEGATE: DOORS | {"orchestration"},
    }
)
"""Whose word counts for who asks, by kind of task."""


@dataclass(frozen=True)
class Signer:
    """The private key of one service, or of one agent."""

    service: str
    kid: str
    key: OKPKey = field(repr=False)

    def sign(self, typ: str, claims: Claims) -> str:
        """A statement of kind `typ`."""
        header = {"alg": jose.ED25519, "typ": typ, "kid": f"{self.service}:{self.kid}"}
        return jose.sign(self.key, header, claims)

    @classmethod
    def of(cls, service: str, key: OKPKey) -> "Signer":
        """The signer for a private key; its kid is the key's thumbprint (RFC 7638)."""
        return cls(service, key.thumbprint(), key)


@dataclass(frozen=True)
class Trust:
    """Public keys by (service, kid). A service may have several while its key changes."""

    keys: Mapping[tuple[str, str], OKPKey]

    @classmethod
    def of(cls, *signers: Signer) -> "Trust":
        """Trust in these, and in nobody else."""
        return cls(
            {
                (one.service, one.kid): OKPKey.import_key(one.key.as_dict(private=False))
                for one in signers
            }
        )

    def verify(self, typ: str, statement: str, by: Container[str]) -> Claims:
        """The claims of a statement of kind `typ`; `Forged` unless one of `by` signed it."""

        def key_for(header: Header) -> OKPKey:
            if header.get("typ") != typ:
                raise Unproven(f"it is no `{typ}`")
            service, _, kid = str(header.get("kid", "")).rpartition(":")
            if service not in by:
                raise Unproven(f"service `{service[:64]}` may not state this")
            key = self.keys.get((service, kid))
            if key is None:
                raise Unproven(f"service `{service}` has no such key")
            return key

        try:
            return jose.verify(statement, key_for)
        except Unproven as error:
            raise Forged(f"the statement is not believed: {error}") from None


@dataclass(frozen=True)
class Identity:
    """Who asks for a task, as the door that checked it knows: the task's header and the token."""

    task: Task
    token_scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def principal(self) -> Principal:
        return self.task.principal

    @classmethod
    def of(
        cls,
        task: Task,
        token_scopes: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
    ) -> "Identity":
        return cls(task, token_scopes, roles, groups)


@dataclass(frozen=True)
class Grant:
    """Policy's proof that exactly this task and round may run, until the task's deadline."""

    task: Task
    policy_version: int
    decision_id: str
    tool_digest: Digest | None = None
    approval_id: str | None = None


def sign_identity(signer: Signer, identity: Identity) -> str:
    """The statement that travels with `task.authenticated`."""
    claims = _header(identity.task) | {
        "token_scopes": identity.token_scopes,
        "roles": identity.roles,
        "groups": identity.groups,
    }
    return signer.sign(IDENTITY, claims)


def verify_identity(trust: Trust, statement: str, task: Task) -> Identity:
    """Who asks for `task`.

    `Forged` unless a service that may say so for its kind signed exactly this header.
    """
    claims = trust.verify(IDENTITY, statement, MAY_IDENTIFY[task.kind])
    _require_same(claims, task)
    _require_own_name(task)
    try:
        return Identity(
            task=task,
            token_scopes=tuple(claims["token_scopes"]),
            roles=tuple(claims["roles"]),
            groups=tuple(claims["groups"]),
        )
    except (KeyError, TypeError):
        raise Forged(f"the identity of task `{task.id}` lacks a claim") from None


def sign_grant(signer: Signer, grant: Grant) -> str:
    """The statement that travels with `task.authorized.*`."""
    claims = _header(grant.task) | {
        "tool_digest": grant.tool_digest,
        "policy_version": grant.policy_version,
        "decision_id": grant.decision_id,
        "approval_id": grant.approval_id,
    }
    return signer.sign(GRANT, claims)


def verify_grant(trust: Trust, statement: str, task: Task) -> Grant:
    """Policy's grant for `task`; `Forged` unless policy signed exactly this header.

    The deadline is not judged here: whoever claims the task looks at it (DESIGN §1).
    """
    claims = trust.verify(GRANT, statement, ("policy",))
    _require_same(claims, task)
    try:
        return Grant(
            task=task,
            policy_version=claims["policy_version"],
            decision_id=claims["decision_id"],
            tool_digest=claims["tool_digest"],
            approval_id=claims["approval_id"],
        )
    except KeyError:
        raise Forged(f"the grant of task `{task.id}` lacks a claim") from None


def require_arguments(task: Task, arguments: str) -> None:
    """`Forged` unless `task.request_digest` covers exactly this JSON text."""
    if request_digest(task.kind, task.server, task.tool, arguments) != task.request_digest:
        raise Forged(f"the arguments of task `{task.id}` are not those that its digest covers")


def _header(task: Task) -> dict[str, Any]:
    """A task's header as claims. `exp` is its deadline (RFC 7519 §4.1.4, with fractions)."""
    return {
        "tenant": task.principal.tenant,
        "task": task.id,
        "round": task.round,
        "kind": task.kind.value,
        "principal": {
            "kind": task.principal.kind.value,
            "name": task.principal.name,
            "user": task.principal.user,
        },
        "server": task.server,
        "tool": task.tool,
        "request_digest": task.request_digest,
        "exp": task.deadline.astimezone(UTC).timestamp(),
    }


def _require_same(claims: Claims, task: Task) -> None:
    for name, value in _header(task).items():
        if name not in claims or claims[name] != value:
            raise Forged(f"the statement and task `{task.id}` differ in `{name}`")


def _require_own_name(task: Task) -> None:
    """Only a service's own tasks are a service's; a door speaks for agents and people."""
    principal = task.principal
    own = principal.kind is PrincipalKind.SERVICE and principal.name == "registry"
    if own != (task.kind is TaskKind.INSPECT) or (
        principal.kind is PrincipalKind.SERVICE and not own
    ):
        raise Forged(f"`{principal.label}` cannot ask for `{task.kind}`")
