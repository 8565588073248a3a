"""From errors and snapshots to HTTP answers."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Message

from interlock.errors import InterlockError, Unavailable, Unsure
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


def unavailable(message: Message, error: InterlockError | None) -> Message:
    """The protocol's answer, which is JSON-RPC's alone, with HTTP's word for what is away, too."""
    if message["type"] != "http.response.start" or not isinstance(error, Unavailable):
        return message
    told = refused(error)
    retry = [one for one in told.raw_headers if one[0] == b"retry-after"]
    return {**message, "status": told.status_code, "headers": [*message["headers"], *retry]}


def jsonrpc_error(request_id: object, code: int, text: str, status: int = 400) -> Response:
    """An error of JSON-RPC 2.0 (§5.1); an id that is none is answered with null."""
    proper = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return answer(
        {
            "jsonrpc": "2.0",
            "id": request_id if proper else None,
            "error": {"code": code, "message": text},
        },
        status,
    )


def frame(data: bytes) -> bytes:
    """A message as a server-sent event. JSON text may be laid out in lines."""
    one = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: message\r\ndata: %b\r\n\r\n" % one
