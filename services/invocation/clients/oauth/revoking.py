"""Taking back what an upstream gave, at its authorization server (RFC 7009)."""

import httpx2
from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider

from services.invocation.clients.oauth.kept import Access
from services.invocation.clients.oauth.providers import provider_of


def endpoint(access: Access) -> str | None:
    """Where tokens are taken back; None where the server does not say."""
    server = access.discovered.server
    found = server.revocation_endpoint if server is not None else None
    return None if found is None else str(found)


async def revocations(url: str, access: Access, at: str) -> list[httpx2.Request]:
    """One for each token, the one first that others may come of (RFC 7009, §2.1)."""
    tokens = access.tokens
    if tokens is None:
        return []
    given = {"refresh_token": tokens.refresh_token, "access_token": tokens.access_token}
    return [
        await _revocation(url, access, at, {"token": token, "token_type_hint": hint})
        for hint, token in given.items()
        if token is not None
    ]


async def _revocation(url: str, access: Access, at: str, form: dict[str, str]) -> httpx2.Request:
    """By who was given it, proven as at the token endpoint."""
    provider, _ = provider_of(url, access)
    await provider._initialize()
    client = provider.context.client_info
    if client is not None and client.client_id is not None:
        form["client_id"] = client.client_id
    if isinstance(provider, PrivateKeyJWTOAuthProvider):
        await provider._add_client_authentication_jwt(token_data=form)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form, headers = provider.context.prepare_token_auth(form, headers)
    return httpx2.Request("POST", at, data=form, headers=headers)
