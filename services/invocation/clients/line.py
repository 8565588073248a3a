"""What a session of the SDK talks over, and how it is spoken to."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED, Request

from services.invocation.clients.port import OnProgress
from services.invocation.clients.process import Streams


class Line(Protocol):
    """What a session talks over."""

    def streams(self) -> AbstractAsyncContextManager[Streams]:
        """Open until left."""
        ...

    async def hears(self) -> None:
        """Wait until the server can say something unasked, if not for long."""
        ...

    def last_words(self) -> str:
        """What there is to say about its end, for the text of an error."""
        ...


class RawRequest(Request[dict[str, Any], str]):
    """A request as its wire form: the SDK's own types would drop what they do not know."""


def passing(on_progress: OnProgress) -> ProgressFnT:
    async def told(progress: float, total: float | None, message: str | None) -> None:
        await on_progress(progress, total, message)

    return told


def closed(error: MCPError) -> bool:
    """Whether it is the SDK that says so: servers use this code for errors of their own too."""
    return (
        error.code == CONNECTION_CLOSED
        and error.data is None
        and (error.message == "Connection closed" or error.message.startswith("SSE stream"))
    )
