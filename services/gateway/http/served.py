"""A request as the SDK's server gives it to those who answer it."""

from typing import Any

import orjson
from mcp.server import ServerRequestContext
from mcp.types import Notification

from services.gateway.handlers.listener import Listener
from services.gateway.http.exchange import EXCHANGE, LOGGED, MODERN, Exchange
from services.gateway.model import Means

Context = ServerRequestContext[Any, Any]


def exchange_of(ctx: Context) -> Exchange:
    """What the door found out about the request that the SDK serves."""
    assert ctx.request is not None
    found: Exchange = ctx.request.scope["state"][EXCHANGE]
    return found


def listener_to(ctx: Context, means: Means) -> Listener:
    """The client of a request that the SDK serves; it is told on the request's own stream what it
    asked for, and waits there for the answer."""

    async def progress(progress: float, total: float | None, message: str) -> None:
        await ctx.session.report_progress(progress, total, message or None)

    async def logged(entry: str) -> None:
        raw = Notification[dict[str, Any], str](method=LOGGED, params=orjson.loads(entry))
        await ctx.session.send_notification(raw, ctx.request_id)  # type: ignore[arg-type]  # unknown fields survive

    return Listener(
        progress=progress if "progress_token" in (ctx.meta or {}) else None,
        logged=None if means.client.log_level is None else logged,
        modern=ctx.protocol_version >= MODERN,
        reply=exchange_of(ctx).reply,
    )
