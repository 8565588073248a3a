"""What requests to auth's door may say, and how answers show records."""

from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, Field, SecretStr, ValidationError, model_validator
from starlette.requests import Request

from interlock.contracts.access import Admits, AgentRecord, ApiKeyRecord, IssuerRecord
from interlock.contracts.ids import AgentName, TenantId, UserName
from interlock.errors import Refused
from interlock.runtime.bodies import Body, invalid

NOWHERE = {"Cache-Control": "no-store"}
"""For answers that hold a secret."""
Name = Annotated[str, Field(min_length=1, max_length=255)]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$", max_length=255)]
"""RFC 6749 §3.3."""


class AgentBody(Body):
    description: str = ""
    public_keys: tuple[dict[str, Any], ...] = Field(default=(), max_length=8)
    may_act_for: tuple[Name, ...] = ()
    token_scopes: tuple[Scope, ...] = ()
    client_id: Annotated[str, Field(max_length=1024)] | None = None
    """URL of its Client ID Metadata Document."""


class NewAgent(AgentBody):
    name: AgentName


class NewPublicKey(Body):
    public_key: dict[str, Any]
    """A public JWK (Ed25519)."""


class Identity(Body):
    """Who signs in as a user."""

    issuer: Annotated[str, Field(pattern=r"^https?://[^?#\s]+$", max_length=1024)]
    subject: Name
    """What the issuer's tokens call the person, in the issuer's `user_claim`."""


class UserBody(Body):
    """What is told of a user; what is left out stays as it is."""

    display_name: Annotated[str, Field(max_length=255)] | None = None
    email: Annotated[str, Field(max_length=320, pattern=r"^([^@\s]+@[^@\s]+)?$")] | None = None
    roles: tuple[str, ...] | None = None


class NewUser(UserBody):
    name: UserName
    identities: tuple[Identity, ...] = Field(default=(), max_length=16)


class Reason(Body):
    reason: Annotated[str, Field(max_length=1000)] = ""


class NewApiKey(Body):
    """A key for an agent (and the user it acts for), or for a person."""

    agent: AgentName | None = None
    person: Name | None = None
    user: Name | None = None
    token_scopes: tuple[Scope, ...] = ()
    roles: tuple[str, ...] = ()
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_principal(self) -> "NewApiKey":
        if (self.agent is None) == (self.person is None):
            raise ValueError("name an `agent` or a `person`")
        if self.person is not None and self.user is not None:
            raise ValueError("only an agent acts for a `user`")
        return self


class NewIntrospection(Body):
    """How to ask the issuer about tokens (RFC 7662), as a client that it knows."""

    client_id: Name
    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=1024)]
    tokens: Literal["opaque", "every"] = "opaque"
    """Those that say nothing themselves, or JWTs, too, which so end within seconds."""


class NewIssuer(Body):
    issuer: Annotated[str, Field(pattern=r"^https?://[^?#\s]+$", max_length=1024)]
    audiences: tuple[Name, ...] = ()
    agent_claim: Name = "client_id"
    user_claim: Name = "sub"
    roles_claim: Name = "roles"
    admits: Admits = Admits.NAMED
    introspection: NewIntrospection | None = None
    announced: bool = True


class NewRevocation(Body):
    kind: Literal["token", "key", "agent", "user", "issuer"]
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    reason: Annotated[str, Field(max_length=1000)] = ""


class NewDelegation(Body):
    agent: AgentName
    user: Name | None = None
    key: Name | None = None


class NewTenant(Body):
    name: TenantId


class Page(Body):
    """A page of a list: names after `after`, at most `limit`."""

    after: str = ""
    limit: int = Field(default=100, ge=1, le=1000)


def jwk(key: dict[str, Any]) -> str:
    """A key as JSON text; `Refused` (`invalid`) where it holds what no key does."""
    try:
        return orjson.dumps(key).decode()
    except TypeError:  # a number beyond 64 bits, a lone surrogate
        raise Refused("the key holds what no JWK does", code="invalid") from None


def named(name: str) -> str:
    """An agent's name in a path, where a new one may stand."""
    try:
        return NewAgent.model_validate({"name": name}).name
    except ValidationError as error:
        raise invalid(error) from None


def page(request: Request) -> Page:
    """The query's `after` and `limit`."""
    try:
        return Page.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise invalid(error) from None


def shown(moment: datetime | None) -> str | None:
    """A moment as JSON has it."""
    return None if moment is None else moment.isoformat()


def public(record: Any) -> dict[str, Any]:
    """A record as people see it; what is derived from a secret is nobody's business."""
    hidden = {"secret_digest", "jwks", "introspection"}
    told: dict[str, Any] = record.model_dump(mode="json", exclude=hidden)
    if isinstance(record, AgentRecord):
        told["public_keys"] = [orjson.loads(key) for key in record.public_keys]
    if isinstance(record, IssuerRecord):
        how = record.introspection
        told["introspection"] = how and {"endpoint": how.endpoint, "client_id": how.client_id}
    if isinstance(record, ApiKeyRecord):
        told["principal"]["label"] = record.principal.label
    return told
