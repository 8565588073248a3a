"""The SDK's OAuth clients, set to where we left off; a person's consent is the one step between.

`tests/…/test_oauth.py` notices should the three private methods change that are used here.
"""

import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.oauth2 import PKCEParameters
from mcp.client.auth.utils import union_scopes
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from services.invocation.clients.lean import VERSION
from services.invocation.clients.oauth.asked import Grant, Method, Registration
from services.invocation.clients.oauth.kept import Access, Discovered, Pending

NAME = "Interlock"


@dataclass
class Found:
    """The SDK's storage for the length of one flow."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Consenting(OAuthClientProvider):
    """Authorization code with PKCE, in two halves: `pending` is what the second one needs."""

    def __init__(self, url: str, access: Access, redirect_uri: str, document: str | None) -> None:
        self.found = Found(client=_client(access, redirect_uri))
        super().__init__(
            url,
            OAuthClientMetadata(client_name=NAME, redirect_uris=[AnyUrl(redirect_uri)]),
            self.found,
            client_metadata_url=document,
        )
        self._access = access
        self._redirect_uri = str(AnyUrl(redirect_uri))
        self.pending: Pending | None = None
        self.consent_url = ""

    async def _perform_authorization(self) -> httpx2.Request:
        """Where a person is to be sent; it is not for us to send this."""
        context, access = self.context, self._access
        client, server = context.client_info, context.oauth_metadata
        assert client is not None, "the flow registers one before"
        given = access.registration
        if given is not None and client.client_id != given.client_id:
            raise OAuthFlowError(f"it names another authorization server than `{given.issuer}`")
        if server is None or "S256" not in (server.code_challenge_methods_supported or ()):
            raise OAuthFlowError("its authorization server does not say that it supports PKCE")
        granted = access.tokens.scope if access.tokens is not None else None
        scope = context.client_metadata.scope
        for more in (granted, access.wanted):
            scope = union_scopes(scope, more)
        proof = PKCEParameters.generate()
        self.pending = Pending(
            state=secrets.token_urlsafe(32),
            verifier=proof.code_verifier,
            redirect_uri=self._redirect_uri,
            scope=scope,
            registration=given,
            client=client,
            discovered=discovered(self),
            begun_at=0.0,
        )
        self.consent_url = self._consent_url(
            str(server.authorization_endpoint), self.pending, proof.code_challenge
        )
        return httpx2.Request("GET", self.consent_url)

    def _consent_url(self, endpoint: str, pending: Pending, challenge: str) -> str:
        """RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2."""
        asked = {
            "response_type": "code",
            "client_id": pending.client.client_id,
            "redirect_uri": pending.redirect_uri,
            "state": pending.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "resource": self.context.get_resource_url(),
        }
        if pending.scope:
            asked["scope"] = pending.scope
        if "offline_access" in (pending.scope or "").split():
            asked["prompt"] = "consent"  # OpenID Connect Core §11
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    async def exchange(self, code: str, verifier: str) -> httpx2.Request:
        """The request that turns a person's consent into tokens."""
        return await self._exchange_token_authorization_code(code, verifier)

    async def exchanged(self, answer: httpx2.Response) -> None:
        """Take what it was answered."""
        await self._handle_token_response(answer)


def resumed(url: str, access: Access, pending: Pending) -> Consenting:
    """The second half."""
    same = access.model_copy(
        update={"client": pending.client, "discovered": pending.discovered, "tokens": None}
    )
    provider = Consenting(url, same, pending.redirect_uri, None)
    _restore(provider, same)
    provider.context.protocol_version = VERSION
    provider.context.client_info = pending.client
    provider.context.client_metadata.scope = pending.scope
    return provider


def provider_of(url: str, access: Access) -> tuple[OAuthClientProvider, Found]:
    """What needs nobody: client credentials, or the refreshing of what a person consented to."""
    found = Found(access.tokens, access.client)
    given = access.registration
    provider: OAuthClientProvider
    if access.grant is Grant.CLIENT_CREDENTIALS and given is not None:
        provider = _as_ourselves(url, given, found)
    else:
        metadata = OAuthClientMetadata(client_name=NAME, redirect_uris=[AnyUrl("http://127.0.0.1")])
        provider = OAuthClientProvider(url, metadata, found)
    _restore(provider, access)
    return provider, found


def discovered(provider: OAuthClientProvider) -> Discovered:
    """Where a flow has led."""
    context = provider.context
    return Discovered(
        resource=context.protected_resource_metadata,
        server=context.oauth_metadata,
        issuer=context.auth_server_url,
    )


def _as_ourselves(url: str, given: Registration, found: Found) -> OAuthClientProvider:
    if given.method is Method.KEY:
        key = SignedJWTParameters(
            issuer=given.client_id,
            subject=given.client_id,
            signing_key=given.private_key or "",
            signing_algorithm=given.algorithm,
        )
        signs = key.create_assertion_provider()
        return PrivateKeyJWTOAuthProvider(url, found, given.client_id, signs, issuer=given.issuer)
    post = given.method is Method.POST
    return ClientCredentialsOAuthProvider(
        url,
        found,
        given.client_id,
        given.client_secret or "",
        "client_secret_post" if post else "client_secret_basic",
        issuer=given.issuer,
    )


def _client(access: Access, redirect_uri: str) -> OAuthClientInformationFull | None:
    """Who we are already; what was registered for another redirect is of no use for this one."""
    given = access.registration
    if given is not None:
        return OAuthClientInformationFull(
            client_id=given.client_id,
            client_secret=given.client_secret,
            token_endpoint_auth_method=given.method.value,
            redirect_uris=[AnyUrl(redirect_uri)],
            issuer=given.issuer,
        )
    client = access.client
    known = [str(one) for one in (client.redirect_uris or ())] if client is not None else []
    return client if str(AnyUrl(redirect_uri)) in known else None


def _restore(provider: OAuthClientProvider, access: Access) -> None:
    context, known = provider.context, access.discovered
    context.protected_resource_metadata = known.resource
    context.oauth_metadata = known.server
    context.auth_server_url = known.issuer
    context.token_expiry_time = access.expires_at
