"""What a client of the handshake era asks to be remembered: it is, where it has a session."""

from collections.abc import Awaitable

from mcp.shared.exceptions import MCPError
from mcp.types import (
    EmptyResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from interlock.errors import InterlockError, Refused
from services.gateway.handlers.sessions import Sticky
from services.gateway.http.codes import INTERNAL_ERROR, INVALID_PARAMS
from services.gateway.http.means import unknown_level
from services.gateway.http.served import Context, exchange_of

SET_LEVEL = "logging/setLevel"


class Remembering:
    """Takes what there is nothing to remember by, too: without a session what a tool logs is passed
    on from `info` on, and there is no stream that a resource's news could go to."""

    def __init__(self, sticky: Sticky | None) -> None:
        self._sticky = sticky

    async def set_level(self, ctx: Context, params: SetLevelRequestParams) -> EmptyResult:
        session = exchange_of(ctx).session
        if self._sticky is None or session is None:
            return EmptyResult()
        return await _done(self._sticky.set_level(session, params.level))

    async def subscribe(self, ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
        exchange = exchange_of(ctx)
        session = exchange.session
        if self._sticky is None or session is None:
            return EmptyResult()
        caller, front = exchange.caller, exchange.front
        return await _done(self._sticky.subscribe(caller, front, session, params.uri))

    async def unsubscribe(self, ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        session = exchange_of(ctx).session
        if self._sticky is None or session is None:
            return EmptyResult()
        return await _done(self._sticky.unsubscribe(session, params.uri))


def require_level(ctx: Context) -> None:
    """Of a `logging/setLevel`, before the protocol refuses it in words that name nothing."""
    wrong = unknown_level((ctx.params or {}).get("level"))
    if wrong is not None:
        raise MCPError(INVALID_PARAMS, wrong)


async def _done(remembering: Awaitable[None]) -> EmptyResult:
    try:
        await remembering
    except InterlockError as error:
        code = INVALID_PARAMS if isinstance(error, Refused) else INTERNAL_ERROR
        raise MCPError(code, error.detail) from None
    return EmptyResult()
