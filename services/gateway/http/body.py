"""Reading a request: never more than the limit, and JSON that means the same to every reader."""

from typing import Any

from starlette.requests import ClientDisconnect, Request

from interlock.contracts.strict_json import parse_arguments
from interlock.errors import Refused


async def read_body(request: Request, limit: int) -> bytes:
    """The body; `Refused` (`too_large`) as soon as it is more than `limit` bytes."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except ClientDisconnect:
        raise Refused(
            "the client went away before its request was whole", code="bad_request"
        ) from None
    return b"".join(parts)


def parse_request(body: bytes) -> tuple[dict[str, Any], str]:
    """The JSON object in a body, and its text; `Refused` (`bad_request`) names what is wrong."""
    try:
        return parse_arguments(body)
    except Refused as error:
        said = error.detail.removeprefix("the arguments ").replace("hold ", "holds ", 1)
        told = said if not said.startswith("are ") else f"is {said[4:]}"
        raise Refused(f"the request {told}", code="bad_request") from None


def _too_large(limit: int) -> Refused:
    return Refused(f"the request is larger than `{limit}` bytes", code="too_large")
