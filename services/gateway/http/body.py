"""Reading a request: never more than the limit, and JSON that means the same to every reader."""

from contextlib import AbstractContextManager, ExitStack
from typing import Any

from starlette.requests import ClientDisconnect, Request

from interlock.contracts.strict_json import parse_arguments
from interlock.errors import Refused, Unavailable


class Bodies:
    """Reads bodies, and bounds what is held of them while their requests are answered: a call may
    wait for long, and what it brought along is in memory until then."""

    def __init__(self, limit: int, most: int) -> None:
        """Bytes of one, and of all together."""
        self._limit = limit
        self._most = most
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The body; `Refused` (`too_large`)."""
        return await read_body(request, self._limit)

    def held(self, body: bytes) -> AbstractContextManager[object]:
        """Counts from now on, until it is left. `Unavailable` where too much is held already: the
        request was not answered then, and nothing was done."""
        size = len(body)
        if self._held + size > self._most:
            raise Unavailable(
                f"the requests that are under way here have `{self._held}` bytes, of `{self._most}`"
                " that they may have; try again, or ask for tasks in place of waiting",
                retry_after=5.0,
            )
        self._held += size
        stack = ExitStack()
        stack.callback(self._let_go, size)
        return stack

    def _let_go(self, size: int) -> None:
        self._held -= size


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
