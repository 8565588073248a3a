"""A door's two ends: who calls (RFC 6750), and how an error is told (RFC 9457)."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from http import HTTPStatus
from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from interlock.errors import InterlockError, Refused, Unavailable, Unreadable
from interlock.identity.caller import Caller
from interlock.identity.tokens import Tokens

STATUS: Mapping[str, int] = MappingProxyType(
    {
        "bad_arguments": 400,
        "bad_request": 400,
        "missing_capability": 400,
        "unanswered": 400,
        "invalid": 422,
        "missing_token": 401,
        "invalid_token": 401,
        "expired_token": 401,
        "wrong_audience": 401,
        "revoked": 401,
        "unknown_agent": 401,
        "disabled_agent": 401,
        "unknown_user": 401,
        "disabled_user": 401,
        "not_delegated": 403,
        "insufficient_scope": 403,
        "forbidden": 403,
        "forged": 403,
        "not_found": 404,
        "conflict": 409,
        "illegal_move": 409,
        "not_inspected": 409,
        "too_large": 413,
        "misdirected": 421,
        "too_many": 429,
        "unreachable": 502,
    }
)
"""Door-wide: the status of each code. A refusal that is not here is 422."""


class Challenged(Refused):
    """A refusal that tells the client how to get the right token (`WWW-Authenticate`)."""

    def __init__(self, error: Refused, challenge: str) -> None:
        super().__init__(error.detail, code=error.code, data=error.data)
        self.challenge = challenge


async def authenticate(
    connection: HTTPConnection,
    tokens: Tokens,
    *,
    resource: str | None = None,
    scopes: tuple[str, ...] = (),
) -> Caller:
    """Who calls. The token stops here: nothing behind finds it in the request.

    `resource` is the door's own URL where it is a resource of its own (RFC 8707); `scopes` are
    what the challenge tells a client to ask for. Raises `Challenged`, or `Unavailable`.
    """
    known = connection.scope.setdefault("state", {}).get("caller")
    if isinstance(known, Caller):
        return known
    try:
        caller = await tokens.verify(_bearer(connection), resource)
    except Refused as error:
        raise challenged(error, resource or tokens.audiences[0], scopes) from None
    connection.scope["state"]["caller"] = caller
    connection.scope["headers"] = [
        header for header in connection.scope["headers"] if header[0] != b"authorization"
    ]
    return caller


def challenged(error: Refused, resource: str, scopes: tuple[str, ...] = ()) -> Challenged:
    """`error` with the challenge of a resource (RFC 6750 §3, RFC 9728 §5.1)."""
    status = STATUS.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    parts = {"resource_metadata": metadata_url(resource)}
    if scopes:
        parts["scope"] = " ".join(scopes)
    if status == HTTPStatus.FORBIDDEN:
        parts["error"] = "insufficient_scope"
    elif error.code != "missing_token":
        parts["error"] = "invalid_token"
    if "error" in parts:
        parts["error_description"] = re.sub(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]", "?", error.detail)
    told = ", ".join(f'{name}="{value}"' for name, value in parts.items())
    return Challenged(error, f"Bearer {told}")


def metadata_url(resource: str) -> str:
    """Where a resource's metadata is (RFC 9728 §3.1): between its host and its path."""
    parts = urlsplit(resource)
    path = "/.well-known/oauth-protected-resource" + parts.path.rstrip("/")
    return parts._replace(path=path, query="", fragment="").geturl()


def problem(error: Exception) -> Response:
    """The problem document for `error`; one that nobody raised on purpose shows nothing."""
    status, headers = _status(error), {}
    if isinstance(error, Challenged):
        headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    told = isinstance(error, InterlockError) and status != HTTPStatus.INTERNAL_SERVER_ERROR
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": error.code if isinstance(error, InterlockError) and told else "internal",
        "detail": error.detail if isinstance(error, InterlockError) and told else "see our logs",
    }
    if isinstance(error, InterlockError) and told:
        document = {**error.data, **document}
    return JSONResponse(document, status, headers, "application/problem+json")


Endpoint = Callable[[Request], Awaitable[Response]]


def answered(endpoint: Endpoint) -> Endpoint:
    """An endpoint whose errors, where raised on purpose, are answered as problem documents."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except InterlockError as error:
            return problem(error)

    return answer


def preferred_wait(request: Request) -> float | None:
    """Seconds that the caller would wait for an answer (`Prefer: wait=N`, RFC 7240 §4.3)."""
    for preference in ",".join(request.headers.getlist("prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and value.strip(' "').isdecimal():
            return float(value.strip(' "'))
    return None


def _status(error: Exception) -> int:
    if isinstance(error, Unavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if isinstance(error, Unreadable):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, Refused):
        return STATUS.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _bearer(connection: HTTPConnection) -> str:
    given = connection.headers.getlist("authorization")
    if not given:
        raise Refused("send a token as `Authorization: Bearer …`", code="missing_token")
    scheme, _, token = given[0].strip().partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Refused(
            "send one token as `Authorization: Bearer …`; no other scheme is accepted",
            code="invalid_token",
        )
    return token.strip()
