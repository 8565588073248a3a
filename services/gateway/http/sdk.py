"""The protocol itself, by the SDK's low-level server: both eras, every method that we serve.

Results of tools and lists of them go out past the SDK's models, which would drop what they do not
know and refuse a whole list for one tool: a middleware may do that (`mcp.md` §2.4).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, PaginatedRequestParams
from starlette.types import ASGIApp, Receive, Scope, Send

from interlock.errors import Refused, Unavailable
from services.gateway.handlers.calls import Calls, Listener
from services.gateway.handlers.visible import Visible
from services.gateway.http.mcp import CALL, EXCHANGE, MODERN, Exchange
from services.gateway.model import Offer

LIST = "tools/list"
PAGE = 200
FRESH_MS = 5_000
INSTRUCTIONS = (
    "Every call is judged by policy and recorded. A denied call says which permission is missing; "
    "a call that waits for a person's approval says where to look."
)
CALLED: ContextVar[Mapping[str, Any] | None] = ContextVar("interlock_called", default=None)
"""The input schema of the tool that the request under way calls."""
Context = ServerRequestContext[Any, Any]


class Protocol:
    """What the SDK's server asks us."""

    def __init__(self, calls: Calls, visible: Visible) -> None:
        self._calls = calls
        self._visible = visible

    async def list_tools(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> HandlerResult:
        """What the caller may use, in the order of its names, 200 at a time."""
        exchange = _exchange(ctx)
        cursor = (ctx.params or {}).get("cursor")
        if not isinstance(cursor, str | None):
            raise MCPError(INVALID_PARAMS, "`cursor` is a string, as the last page had it")
        offers = self._visible.of(exchange.caller, exchange.server)
        names = [_name(one, exchange) for one in offers]
        left = [one for one in zip(names, offers, strict=True) if cursor is None or one[0] > cursor]
        page = left[:PAGE]
        result: dict[str, Any] = {"tools": [self._definition(*one) for one in page]}
        if len(left) > len(page):
            result["nextCursor"] = page[-1][0]
        if ctx.protocol_version >= MODERN:
            result |= {"resultType": "complete", "ttlMs": FRESH_MS, "cacheScope": "private"}
        return result

    def _definition(self, name: str, offer: Offer) -> dict[str, Any]:
        return {**self._visible.tool(offer).definition, "name": name}

    async def relay(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Middleware: our results as they are."""
        if ctx.method == CALL:
            return await self._call(ctx)
        if ctx.method == LIST:
            return await self.list_tools(ctx, None)
        return await call_next(ctx)

    async def _call(self, ctx: Context) -> HandlerResult:
        exchange = _exchange(ctx)
        if exchange.wanted is None:
            raise MCPError(INVALID_PARAMS, exchange.refusal)
        modern = ctx.protocol_version >= MODERN
        listener = Listener(progress=_progress(ctx), modern=modern)
        try:
            text = await self._calls.answer(exchange.caller, exchange.wanted, listener)
        except Unavailable as error:
            raise MCPError(INTERNAL_ERROR, f"{error.detail}; nothing was done, try again") from None
        except Refused as error:
            raise MCPError(INVALID_REQUEST, error.detail) from None
        result: dict[str, Any] = json.loads(text)
        return result

    async def serve(
        self, manager: StreamableHTTPSessionManager, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """One request to the SDK, which asks `schema` while it checks the headers."""
        wanted = scope["state"][EXCHANGE].wanted
        definition = {} if wanted is None else self._visible.tool(wanted.offer).definition
        CALLED.set(definition.get("inputSchema"))
        await manager.handle_request(scope, receive, send)

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """For `Mcp-Param-…` headers (MCP 2026-07-28, "Streamable HTTP")."""
        return CALLED.get()


def _progress(ctx: Context) -> Any:
    async def tell(progress: float, total: float | None, message: str) -> None:
        await ctx.session.report_progress(progress, total, message or None)

    return tell


def _exchange(ctx: Context) -> Exchange:
    assert ctx.request is not None
    found: Exchange = ctx.request.scope["state"][EXCHANGE]
    return found


def _name(offer: Offer, exchange: Exchange) -> str:
    return offer.tool.name if exchange.server is not None else offer.qualified


@asynccontextmanager
async def protocol(calls: Calls, visible: Visible, version: str) -> AsyncIterator[ASGIApp]:
    """The SDK's server as an ASGI application, alive inside the block."""
    ours = Protocol(calls, visible)
    server: Server[Any] = Server(
        "interlock",
        version=version,
        instructions=INSTRUCTIONS,
        on_list_tools=ours.list_tools,  # type: ignore[arg-type]  # a dict is a handler's result too
        get_tool_input_schema=ours.schema,
        cache_hints={"server/discover": CacheHint(FRESH_MS, "private")},
    )
    server.middleware[:] = [ours.relay]
    manager = StreamableHTTPSessionManager(server, stateless=True)
    started, ending = asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        async with manager.run():
            started.set()
            await ending.wait()

    keeping = asyncio.ensure_future(keep())
    await started.wait()
    try:
        yield partial(ours.serve, manager)
    finally:
        ending.set()
        await keeping
