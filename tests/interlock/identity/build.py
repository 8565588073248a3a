"""Keys, tasks and statements with sensible defaults, so a test names only what it is about."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey

from interlock.contracts.access import ApiKeyRecord, IssuerRecord
from interlock.contracts.ids import TaskId
from interlock.contracts.task import (
    Principal,
    PrincipalKind,
    Task,
    TaskKind,
    digest_of,
    request_digest,
)
from interlock.identity import jose
from interlock.identity.statements import Signer, Trust

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
AGENT = Principal(tenant="acme", kind=PrincipalKind.AGENT, name="copilot", user="ana")
REGISTRY = Principal(tenant="acme", kind=PrincipalKind.SERVICE, name="registry", user="ana")
ARGUMENTS = '{"q":"acme"}'


def signer(service: str) -> Signer:
    return Signer.of(service, OKPKey.generate_key("Ed25519"))


SIGNERS = {name: signer(name) for name in ("gateway", "auth", "registry", "policy", "audit")}
TRUST = Trust.of(*SIGNERS.values())


def task(**changes: Any) -> Task:
    kind = changes.get("kind", TaskKind.CALL)
    values: dict[str, Any] = {
        "id": TaskId("task-1"),
        "principal": REGISTRY if kind is TaskKind.INSPECT else AGENT,
        "kind": TaskKind.CALL,
        "server": "crm",
        "tool": "search",
        "request_digest": request_digest(kind, "crm", "search", ARGUMENTS),
        "deadline": NOON + timedelta(hours=1, microseconds=7),
    }
    return Task(**values | changes)


OURS = ("https://interlock.example", "https://interlock.example/mcp")
ISSUER = "https://id.example/realms/acme"


def new_key(alg: str = "ES256", kid: str = "k1") -> jose.AsymmetricKey:
    """A private key for signatures of `alg`."""
    if alg == "RS256":
        return RSAKey.generate_key(2048, {"kid": kid})
    if alg == "ES256":
        return ECKey.generate_key("P-256", {"kid": kid})
    return OKPKey.generate_key("Ed25519", {"kid": kid})


class Issuer:
    """An OIDC issuer with one key, and what auth publishes of it."""

    def __init__(self, url: str = ISSUER, alg: str = "ES256", **record: Any) -> None:
        self.alg = alg
        self.url = url
        self.key = new_key(alg)
        self._record = record

    @property
    def jwks(self) -> str:
        return json.dumps({"keys": [self.key.as_dict(private=False)]})

    @property
    def record(self) -> IssuerRecord:
        values: dict[str, Any] = {"tenant": "acme", "audiences": ()} | self._record
        return IssuerRecord(issuer=self.url, jwks=self.jwks, **values)

    def token(self, header: dict[str, Any] | None = None, /, **claims: Any) -> str:
        """A token of the agent `copilot` for itself, unless `claims` say otherwise; None drops."""
        values = {
            "iss": self.url,
            "aud": OURS[0],
            "sub": "copilot",
            "client_id": "copilot",
            "scope": "crm:read crm:write",
            "iat": NOON.timestamp(),
            "exp": (NOON + timedelta(minutes=10)).timestamp(),
            "jti": "token-1",
        } | claims
        made = {name: value for name, value in values.items() if value is not None}
        head = {"alg": self.alg, "kid": "k1", "typ": "at+jwt"} | (header or {})
        return jose.sign(self.key, head, made, jose.TOKENS)


def api_key(**changes: Any) -> tuple[str, ApiKeyRecord]:
    """An API key of the agent `copilot`, and its record."""
    values: dict[str, Any] = {
        "tenant": "acme",
        "key_id": "k7",
        "secret_digest": digest_of("se_cret"),
        "principal": Principal(tenant="acme", kind=PrincipalKind.AGENT, name="copilot"),
        "token_scopes": ("crm:read",),
        "issued_at": NOON,
    }
    record = ApiKeyRecord(**values | changes)
    return f"ilk_{record.key_id}_se_cret", record
