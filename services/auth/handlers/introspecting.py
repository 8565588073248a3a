"""Token introspection (RFC 7662): whether a token that somebody was shown is good now."""

from dataclasses import dataclass
from typing import Any

from interlock.contracts.task import PrincipalKind
from interlock.errors import Refused
from interlock.identity import caller, jose
from interlock.identity.tokens import Caller, Tokens
from services.auth.model import Client

INACTIVE: dict[str, Any] = {"active": False}
"""All that is said of any other token (§2.2)."""


@dataclass(frozen=True)
class Introspecting:
    """Tells a client of tokens and API keys of its own tenant, and of nobody else's."""

    tokens: Tokens
    issuer: str

    async def tell(self, client: Client, token: str) -> dict[str, Any]:
        """The answer of §2.2; `Unavailable` while it cannot be known."""
        try:
            claims = self._claims(token)
            audience = next(iter(caller.audiences(claims)), None)
            who = await self.tokens.verify(token, audience)
        except (Refused, jose.Unproven):
            return INACTIVE
        own = who.how == "key" or who.issuer == self.issuer
        if not own or who.principal.tenant != client.tenant:
            return INACTIVE
        return _active(who, claims, self.issuer)

    def _claims(self, token: str) -> jose.Claims:
        """What a token says, before anything of it is proven; an API key says nothing."""
        return {} if "." not in token else jose.unproven_claims(token, jose.TOKENS)


def _active(who: Caller, claims: jose.Claims, issuer: str) -> dict[str, Any]:
    principal = who.principal
    told: dict[str, Any] = {
        "active": True,
        "iss": issuer,
        "sub": principal.user or principal.name,
        "token_type": "Bearer",
        "jti": who.token_id,
        "tenant": principal.tenant,
        "roles": list(who.roles),
        "scope": " ".join(who.token_scopes),
    }
    if principal.kind is PrincipalKind.AGENT:
        told["client_id"] = principal.name
        if principal.user is not None:
            told["act"] = {"sub": principal.name}
    for name, moment in (("iat", who.issued_at), ("exp", who.expires_at)):
        if moment is not None:
            told[name] = int(moment.timestamp())
    return told | {name: claims[name] for name in ("aud",) if name in claims}
