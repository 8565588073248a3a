"""One request on its way from the door to the protocol's handlers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server import ServerRequestContext

from interlock.identity.tokens import Caller
from services.gateway.handlers.calls import Progress, Wanted
from services.gateway.handlers.features import WantedFeature
from services.gateway.handlers.leases import Reply
from services.gateway.model import Front

CALL = "tools/call"
VERSION = "io.modelcontextprotocol/protocolVersion"
"""What a message says of its protocol, in `_meta`."""
MODERN = "2026-07-28"
"""The first protocol without sessions; later ones sort behind it."""
EXCHANGE = "interlock.exchange"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, as the protocol's handlers find it in the scope's state."""

    caller: Caller
    front: Front
    message: Mapping[str, Any]
    text: str = ""
    """The message as it came."""
    wanted: Wanted | None = None
    """What a `tools/call` wants, where it is one."""
    feature: WantedFeature | None = None
    """What a read, a prompt or a completion wants, where it is one."""
    refusal: str = "`name` is a string and `arguments` an object"
    """Why it is none."""
    reply: Reply = field(default_factory=Reply)

    @property
    def server(self) -> str | None:
        """The one server that is looked at."""
        return self.front.server


def exchange_of(ctx: ServerRequestContext[Any, Any]) -> Exchange:
    """What the door found out about the request that the SDK serves."""
    assert ctx.request is not None
    found: Exchange = ctx.request.scope["state"][EXCHANGE]
    return found


def progress_to(ctx: ServerRequestContext[Any, Any]) -> Progress:
    """Tells progress on the request's own stream, where its client asked for that."""

    async def tell(progress: float, total: float | None, message: str) -> None:
        await ctx.session.report_progress(progress, total, message or None)

    return tell
