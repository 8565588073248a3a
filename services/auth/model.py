"""The nouns of auth that are its own; agents, keys, issuers and revocations are contracts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from interlock.bus import Raw
from interlock.contracts.ids import Digest
from interlock.contracts.task import Task


@dataclass(frozen=True, order=True)
class Identity:
    """Who signs in as a user: an issuer, and what its tokens call the person."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class Person:
    """What only auth knows of a user; what doors must know is published."""

    tenant: str
    name: str
    created_at: datetime
    display_name: str = ""
    email: str = ""
    identities: tuple[Identity, ...] = ()
    """In order."""
    erased_at: datetime | None = None


@dataclass(frozen=True)
class Tenant:
    """A tenant that was created here."""

    name: str
    created_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True)
class Believed:
    """A submission is its agent's, and is this task."""

    task: Task
    token_scopes: tuple[str, ...]


@dataclass(frozen=True)
class Doubted:
    """A submission is refused."""

    code: str
    reason: str


@dataclass(frozen=True)
class Judged:
    """A judged submission on its way into the store, with what it would state."""

    message: Digest
    """Of the message's id and body: the same message is judged once."""
    ref: tuple[str, str, str] | None
    """(tenant, agent, client_ref) where it is believed."""
    request: Digest | None
    effects: Sequence[Raw]
    reused: Callable[[], Sequence[Raw]]
    """What it states instead if its `client_ref` belongs to another request."""


@dataclass(frozen=True)
class SigningKey:
    """A key of the embedded issuer."""

    kid: str
    public: str
    """JWK as JSON text."""
    sealed: str = field(repr=False)
    """The private JWK, encrypted under the suite's key."""
    created_at: datetime
    published_until: datetime | None = None
    """None: it signs. Else no token that it signed is good after this moment."""


@dataclass(frozen=True)
class Client:
    """An agent that proved itself at the token endpoint, and what its tokens may say."""

    tenant: str
    agent: str
    user: str | None
    token_scopes: tuple[str, ...]
    roles: tuple[str, ...]
    bound_to: tuple[str, ...]
    """What its tokens end with: see `interlock.identity.caller`."""
    resources: tuple[str, ...] = ()
    """For which alone its tokens may be; empty where nothing says so."""
    expires_at: datetime | None = None
    """When the key that it showed ends; its tokens end no later."""
