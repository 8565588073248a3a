"""Invocation's door for logins: upstreams that want OAuth let Interlock in. Secrets only go in."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, SecretStr, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interlock.errors import Refused
from interlock.identity.asgi import answered, authenticate
from interlock.identity.caller import Caller
from interlock.identity.roles import Right, require
from interlock.identity.tokens import Tokens
from interlock.runtime.bodies import Body, body
from interlock.runtime.pages import takes
from services.invocation.clients.oauth import Asked, Grant, Method, Registration
from services.invocation.decide import authorizing
from services.invocation.handlers import Letting

if TYPE_CHECKING:
    from services.invocation.clients.oauth import Access

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")


class GivenClient(Body):
    """A client that people registered at the upstream's authorization server."""

    client_id: str = Field(min_length=1, max_length=2000)
    issuer: str = Field(max_length=2000)
    """The one authorization server that its secret is for."""
    method: Method = Method.BASIC
    client_secret: SecretStr | None = None
    private_key: SecretStr | None = None
    """PEM, with `private_key_jwt`."""
    algorithm: str = "RS256"

    @model_validator(mode="after")
    def _require_proof(self) -> Self:
        needs = {Method.KEY: self.private_key, Method.NONE: self.client_id}
        if needs.get(self.method, self.client_secret) is None:
            raise ValueError(f"`{self.method.value}` needs its secret or key")
        if unfit := authorizing.unfit_url(self.issuer, self.issuer, secret=True):
            raise ValueError(f"`issuer`: {unfit}")
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"`algorithm` is one of {', '.join(ALGORITHMS)}")
        return self

    def registration(self) -> Registration:
        """As it is kept."""
        return Registration(
            client_id=self.client_id,
            issuer=self.issuer,
            method=self.method,
            client_secret=_said(self.client_secret),
            private_key=_said(self.private_key),
            algorithm=self.algorithm,
        )


class Login(Body):
    """How Interlock is to be let in."""

    grant: Grant = Grant.AUTHORIZATION_CODE
    redirect_uri: str = Field(default="", max_length=2000)
    """With a person's consent: where their browser comes back to, on their own machine."""
    scope: str | None = Field(default=None, max_length=4000)
    client: GivenClient | None = None

    def asked(self) -> Asked:
        """Checked; `Refused` (`invalid`)."""
        registration = self.client.registration() if self.client is not None else None
        if self.grant is Grant.CLIENT_CREDENTIALS:
            if registration is None or registration.method is Method.NONE:
                raise Refused(
                    "`client_credentials` needs a `client` and its secret", code="invalid"
                )
        elif unfit := authorizing.unfit_redirect(self.redirect_uri):
            raise Refused(f"`redirect_uri`: {unfit}", code="invalid")
        elif registration is not None and registration.method is Method.KEY:
            raise Refused("`private_key_jwt` goes with `client_credentials` only", code="invalid")
        return Asked(self.grant, self.redirect_uri, self.scope, registration)


class Answered(Body):
    """Where the authorization server sent the person's browser."""

    redirected_to: SecretStr


class LoginDoor:
    """The endpoints, relative to `/invocation`."""

    def __init__(self, letting: Letting, tokens: Tokens) -> None:
        self._letting = letting
        self._tokens = tokens

    @takes(Login)
    async def begin(self, request: Request) -> Response:
        """Where a person consents; or, as Interlock itself, that it is let in already."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        asked = (await body(request, Login)).asked()
        url = await self._letting.begin(caller.principal, request.path_params["name"], asked)
        return JSONResponse({"consent_at": url, "logged_in": url is None})

    @takes(Answered)
    async def answer(self, request: Request) -> Response:
        """The person has consented."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        said = (await body(request, Answered)).redirected_to.get_secret_value()
        await self._letting.answer(caller.principal, request.path_params["name"], said)
        return JSONResponse({"logged_in": True})

    async def show(self, request: Request) -> Response:
        """As whom Interlock is let in, for what and until when; nothing that is secret."""
        caller = await self._caller(request, Right.SERVERS_READ)
        access = await self._letting.access(caller.principal.tenant, request.path_params["name"])
        return JSONResponse(_shown(access))

    async def end(self, request: Request) -> Response:
        """Forget what the upstream gave, taken back at its authorization server if that can be
        done (RFC 7009): `revoked`, or `why` not."""
        caller = await self._caller(request, Right.SERVERS_WRITE)
        revoked = await self._letting.end(caller.principal, request.path_params["name"])
        told = {"revoked": revoked.done, "why": revoked.why or None}
        return JSONResponse({"logged_in": False, **told})

    async def _caller(self, request: Request, right: Right) -> Caller:
        caller = await authenticate(request, self._tokens)
        require(caller, right)
        return caller


def _said(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


def _shown(access: "Access") -> dict[str, Any]:
    tokens, ends, client = access.tokens, access.expires_at, access.client
    return {
        "logged_in": True,
        "grant": access.grant.value,
        "issuer": access.discovered.name,
        "client_id": client.client_id if client is not None else _given(access),
        "scope": tokens.scope if tokens is not None else None,
        "expires_at": None if ends is None else datetime.fromtimestamp(ends, UTC).isoformat(),
        "renews_itself": access.refreshable or access.grant is Grant.CLIENT_CREDENTIALS,
        "lacks": access.wanted,
    }


def _given(access: "Access") -> str | None:
    return access.registration.client_id if access.registration is not None else None


def login_routes(door: LoginDoor) -> list[Route]:
    """The routes of logins."""
    path = "/v1/servers/{name}/login"
    return [
        Route(path, answered(door.show)),
        Route(path, answered(door.begin), methods=["POST"]),
        Route(path, answered(door.end), methods=["DELETE"]),
        Route(f"{path}/answer", answered(door.answer), methods=["POST"]),
    ]
