"""What auth and policy publish: who there is, which keys speak for whom, and what they may do."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from interlock.contracts.ids import AgentName, Digest, TenantId
from interlock.contracts.message import Model
from interlock.contracts.task import Principal


class AgentRecord(Model):
    """An agent and the Ed25519 keys with which it signs on the bus (JWK, public, JSON text)."""

    tenant: TenantId
    name: AgentName
    description: str = ""
    public_keys: tuple[str, ...] = ()
    may_act_for: tuple[str, ...] = ()
    """Users; `*` stands for any user of the tenant."""
    token_scopes: tuple[str, ...] = ()
    """What its tokens may say, and what counts for what it submits on the bus."""
    client_id: str | None = None
    """An `https` URL by which it is known to the embedded issuer: its Client ID Metadata Document,
    which names the keys that it signs with there."""
    enabled: bool = True


class UserRecord(Model):
    """A person whom a tenant knows. What it says of them beside this stays with auth.

    One that was erased stays as a name that is disabled, so that nobody signs in under it again.
    """

    tenant: TenantId
    name: str
    roles: tuple[str, ...] = ()
    """Given here, beside those that a token says."""
    identities: tuple[Digest, ...] = ()
    """Who signs in as this user: see `interlock.identity.people`."""
    enabled: bool = True


class Admits(StrEnum):
    """Whom the good tokens of an issuer let in."""

    NAMED = "named"
    """Anybody whom it names, under that name, unless a registered user has the name."""
    PROVISIONED = "provisioned"
    """Anybody, too; who signs in for the first time is registered as a user without roles."""
    REGISTERED = "registered"
    """Only users that are linked with an identity of the issuer."""


class ApiKeyRecord(Model):
    """An API key: only its SHA-256 is known. Its secret has 256 random bits and needs no salt."""

    tenant: TenantId
    key_id: str
    secret_digest: Digest
    principal: Principal
    token_scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    issued_at: datetime | None = None
    expires_at: datetime | None = None


class IntrospectionRecord(Model):
    """How an issuer is asked whether a token is good (RFC 7662)."""

    endpoint: str
    client_id: str
    sealed_secret: str
    """Ours at the issuer, encrypted under the suite's key."""
    every: bool = False
    """Of JWTs, too: they are proven by their signature first, and then asked about. Of opaque ones
    only issuers of the tenant that runs the suite are asked, for they do not say whose they are."""
    private: bool = False
    """It may be at a private address, and speak `http`."""


class IssuerRecord(Model):
    """An OIDC issuer whose tokens are believed, and its keys at the moment."""

    tenant: TenantId | Literal["*"]
    """Tenant of its tokens; `*` where the claim `tenant` says it (only the embedded issuer)."""
    issuer: str
    audiences: tuple[str, ...]
    jwks: str
    """JSON Web Key Set (RFC 7517 §5) as JSON text, public keys only."""
    agent_claim: str = "client_id"
    user_claim: str = "sub"
    roles_claim: str = "roles"
    admits: Admits = Admits.NAMED
    """Where its tokens name a person."""
    introspection: IntrospectionRecord | None = None
    """Without it opaque tokens are nobody's."""
    announced: bool = True
    """Named in the metadata of our protected resources (RFC 9728), if its tenant runs the suite."""


class RevocationRecord(Model):
    """No token that matches may be used. The record's field says what: see `interlock.identity`."""

    tenant: TenantId
    kind: str
    """`token` (jti), `key` (API key id), `agent`, `user`, `issuer` or `tenant`."""
    name: str
    not_before: datetime
    """Tokens issued before this moment are refused; later ones may pass."""
    reason: str = ""


class PermissionRecord(Model):
    """What one agent was given."""

    agent: str
    permissions: tuple[str, ...] = ()
    with_approval: tuple[str, ...] = ()
    """Permissions that hold only with a person's approval."""


class PolicyText(Model):
    """One `.cedar` file."""

    name: str
    text: str


class PolicySetRecord(Model):
    """A tenant's rules and permissions; one version pins both."""

    tenant: TenantId
    version: int
    policies: tuple[PolicyText, ...] = ()
    permissions: tuple[PermissionRecord, ...] = ()
