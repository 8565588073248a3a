"""The embedded issuer as OAuth clients see it (RFC 6749, RFC 8414, OpenID Connect Discovery)."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.errors import Refused, Unavailable
from interlock.identity.asgi import answered
from interlock.identity.issuer import GRANTS, JWT_BEARER, issuer_metadata
from services.auth.handlers import Introspecting, Issuing, Proving
from services.auth.model import Client

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LARGEST = 64 * 1024
"""Bytes of a token request."""
ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    }
)
"""RFC 6749 §5.2 and RFC 8707 §2."""
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Form = Mapping[str, list[str]]


@dataclass(frozen=True)
class OAuth:
    """The endpoints, relative to `/auth`, which is the issuer's URL."""

    issuing: Issuing
    proving: Proving
    introspecting: Introspecting

    async def metadata(self, request: Request) -> Response:
        """RFC 8414 §3.2, at OpenID's place and at its own."""
        return JSONResponse(issuer_metadata(self.issuing.edge))

    async def jwks(self, request: Request) -> Response:
        keys = await self.issuing.jwks()
        return Response(
            keys, media_type="application/jwk-set+json", headers={"Cache-Control": "max-age=60"}
        )

    async def authorize(self, request: Request) -> Response:
        raise Refused(
            "this issuer knows agents only (`client_credentials`); for people trust an OIDC "
            "issuer with `POST /auth/v1/issuers`",
            code="bad_request",
        )

    async def token(self, request: Request) -> Response:
        """RFC 6749 §4.4, or RFC 7523 §2.1 with an ID-JAG; clients prove themselves by RFC 6749
        §2.3.1 or RFC 7523 §2.2. With RFC 8707's `resource`."""
        try:
            form = await _form(request)
            grant = _grant(_one(form, "grant_type"))
            client = await self._client(request, form)
            if grant == JWT_BEARER:
                client = await self.proving.for_user(client, _one(form, "assertion") or "")
            scope, resources = _one(form, "scope"), form.get("resource", [])
            answer = await self.issuing.issue(client, scope, resources)
        except Refused as error:
            return _error(error)
        except Unavailable as error:
            return _unavailable(error)
        return JSONResponse(answer, headers=NO_STORE)

    async def introspect(self, request: Request) -> Response:
        """RFC 7662: whether the form's `token` is good; for clients that prove themselves as at the
        token endpoint, of tokens of their own tenant."""
        try:
            form = await _form(request)
            client = await self._client(request, form)
            answer = await self.introspecting.tell(client, _needed(form, "token"))
        except Refused as error:
            return _error(error)
        except Unavailable as error:
            return _unavailable(error)
        return JSONResponse(answer, headers=NO_STORE)

    async def _client(self, request: Request, form: Form) -> Client:
        """Who the client proves to be, by the one method that it chose."""
        basic = request.headers.get("authorization")
        assertion, secret = _one(form, "client_assertion"), _one(form, "client_secret")
        if sum(given is not None for given in (basic, assertion, secret)) != 1:
            raise Refused("authenticate in exactly one way", code="invalid_client")
        if assertion is not None:
            if _one(form, "client_assertion_type") != ASSERTION:
                raise Refused(f"`client_assertion_type` is `{ASSERTION}`", code="invalid_request")
            return await self.proving.by_assertion(assertion, _one(form, "client_id"))
        if basic is not None:
            return await self.proving.by_secret(*_basic(basic))
        return await self.proving.by_secret(_one(form, "client_id") or "", secret or "")


async def _form(request: Request) -> Form:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST:
            raise Refused(f"a token request has at most `{LARGEST}` bytes", code="invalid_request")
    try:
        pairs = parse_qsl(content.decode(), max_num_fields=32)
    except ValueError:
        raise Refused("the body is no form", code="invalid_request") from None
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def _grant(grant_type: str | None) -> str:
    if grant_type not in GRANTS:
        offered = " and ".join(f"`{one}`" for one in GRANTS)
        raise Refused(f"only {offered} are offered", code="unsupported_grant_type")
    return grant_type


def _one(form: Form, name: str) -> str | None:
    values = form.get(name, [])
    if len(values) > 1:
        raise Refused(f"`{name}` is given twice", code="invalid_request")
    return values[0] if values else None


def _needed(form: Form, name: str) -> str:
    value = _one(form, name)
    if value is None:
        raise Refused(f"`{name}` is missing", code="invalid_request")
    return value


def _basic(header: str) -> tuple[str, str]:
    """RFC 6749 §2.3.1: both parts are form-encoded before they are joined."""
    scheme, _, encoded = header.strip().partition(" ")
    try:
        client_id, colon, secret = b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise Refused(
            "the `Authorization` header is no basic authentication", code="invalid_client"
        )
    return unquote_plus(client_id), unquote_plus(secret)


def _unavailable(error: Unavailable) -> Response:
    told = {"error": "temporarily_unavailable", "error_description": error.detail}
    return JSONResponse(told, 503, NO_STORE | {"Retry-After": "1"})


def _error(error: Refused) -> Response:
    code = error.code if error.code in ERRORS else "invalid_request"
    headers: dict[str, Any] = dict(NO_STORE)
    status = 400
    if code == "invalid_client":
        status = 401
        headers["WWW-Authenticate"] = 'Basic realm="interlock"'
    return JSONResponse({"error": code, "error_description": error.detail}, status, headers)


def oauth_routes(oauth: OAuth) -> list[Route]:
    """The routes of the embedded issuer."""
    return [
        Route("/.well-known/openid-configuration", oauth.metadata),
        Route("/.well-known/oauth-authorization-server", oauth.metadata),
        Route("/jwks", answered(oauth.jwks)),
        Route("/authorize", answered(oauth.authorize)),
        Route("/token", oauth.token, methods=["POST"]),
        Route("/introspect", oauth.introspect, methods=["POST"]),
    ]
