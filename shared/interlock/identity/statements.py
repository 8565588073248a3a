"""What services sign for each other (DESIGN §6): identity, by the door that checked, and grant.

A statement is a JWS signed with Ed25519. Its `typ` says what it states, so that none passes for
another; its `kid` is `<service>:<thumbprint>`.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from joserfc.jwk import OKPKey
from joserfc.registry import Header

from interlock.contracts.ids import Digest
from interlock.contracts.task import Principal, PrincipalKind, Task, TaskKind, request_digest
from interlock.errors import Forged
from interlock.identity import jose
from interlock.identity.jose import Claims, Unproven
from interlock.lately import Lately

IDENTITY = "interlock-identity+jwt"
GRANT = "interlock-grant+jwt"
LEAST = 1024
"""Statements that a process remembers at the least."""

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


class Made:
    """Statements that were signed in this process lately, each with the key that proves it.

    A statement that comes back in exactly these characters needs no proof: we know who signed it,
    and what it says.
    """

    def __init__(self) -> None:
        self._by: Lately[str, tuple[Any, Claims]] = Lately(LEAST)

    def add(self, statement: str, public: Any, claims: Claims) -> None:
        """The private half of `public` signed `statement`, which says `claims`, just now."""
        self._by[statement] = public, claims

    def by(self, statement: str, key: OKPKey) -> Claims | None:
        """What it says, if the private half of `key` signed it here."""
        made = self._by.get(statement)
        return made[1] if made is not None and made[0] == key.public_key else None


@dataclass(frozen=True)
class Signer:
    """The private key of one service, or of one agent."""

    service: str
    kid: str
    key: OKPKey = field(repr=False)
    made: Made | None = field(default=None, repr=False, compare=False)
    """Where what it signs is remembered, for a `Trust` of the same process."""
    _headers: dict[str, tuple[bytes, Any, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """By kind of statement: the header as it was signed before; the private and the public key."""

    def sign(self, typ: str, claims: Claims) -> str:
        """A statement of kind `typ`."""
        known = self._headers.get(typ)
        if known is None:
            header = {"alg": jose.ED25519, "typ": typ, "kid": f"{self.service}:{self.kid}"}
            statement = jose.sign(self.key, header, claims)
            first = statement.partition(".")[0].encode()
            known = self._headers[typ] = first, self.key.private_key, self.key.public_key
        else:
            statement = jose.sign_segments(known[1], known[0], jose.segment(claims))
        if self.made is not None:
            self.made.add(statement, known[2], claims)
        return statement

    @classmethod
    def of(cls, service: str, key: OKPKey) -> "Signer":
        """The signer for a private key; its kid is the key's thumbprint (RFC 7638)."""
        return cls(service, key.thumbprint(), key)


@dataclass(frozen=True)
class Trust:
    """Public keys by (service, kid). A service may have several while its key changes."""

    keys: Mapping[tuple[str, str], OKPKey]
    made: Made = field(default_factory=Made, repr=False, compare=False)

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
        try:
            key = self._key(typ, jose.header_of(statement), by)
            claims = self.made.by(statement, key)
            return jose.proven(statement, key) if claims is None else claims
        except Unproven as error:
            raise Forged(f"the statement is not believed: {error}") from None

    def _key(self, typ: str, header: Header, by: Container[str]) -> OKPKey:
        if header.get("typ") != typ:
            raise Unproven(f"it is no `{typ}`")
        service, _, kid = str(header.get("kid", "")).rpartition(":")
        if service not in by:
            raise Unproven(f"service `{service[:64]}` may not state this")
        key = self.keys.get((service, kid))
        if key is None:
            raise Unproven(f"service `{service}` has no such key")
        return key


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


def require_arguments(task: Task, arguments: str, given: str | None = None) -> None:
    """`Forged` unless `task.request_digest` covers exactly this JSON text, and input is what a
    later round has and round 0 has not."""
    if (given is None) != (task.round == 0):
        raise Forged(f"task `{task.id}` has input in round `{task.round}`, or lacks it there")
    digest = request_digest(task.kind, task.server, task.tool, arguments, given)
    if digest != task.request_digest:
        raise Forged(f"the arguments of task `{task.id}` are not those that its digest covers")


def _header(task: Task) -> dict[str, Any]:
    """A task's header as claims. `exp` is its deadline (RFC 7519 §4.1.4, with fractions)."""
    return {
        "tenant": task.principal.tenant,
        "task": task.id,
        "round": task.round,
        "kind": task.kind,
        "principal": {
            "kind": task.principal.kind,
            "name": task.principal.name,
            "user": task.principal.user,
        },
        "server": task.server,
        "tool": task.tool,
        "request_digest": task.request_digest,
        "exp": task.deadline.timestamp(),
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
