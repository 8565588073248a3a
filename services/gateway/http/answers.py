"""From errors and snapshots to HTTP answers."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from interlock.errors import InterlockError, Unsure
from interlock.identity.asgi import problem


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(orjson.dumps(document), status, headers, "application/json")


def refused(error: InterlockError) -> Response:
    """A problem document. `Unsure` says where to look, and not that a repeat would be safe."""
    if not isinstance(error, Unsure):
        return problem(error)
    document = {
        **error.data,
        "type": "about:blank",
        "title": HTTPStatus.SERVICE_UNAVAILABLE.phrase,
        "status": HTTPStatus.SERVICE_UNAVAILABLE,
        "code": error.code,
        "detail": error.detail,
    }
    headers = {"Location": str(error.data["url"])} if "url" in error.data else {}
    return Response(
        orjson.dumps(document),
        HTTPStatus.SERVICE_UNAVAILABLE,
        headers,
        "application/problem+json",
    )
