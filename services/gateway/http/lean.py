"""What nearly every request is, without the SDK's detours: one modern `tools/call`, a list, and all
that becomes a task in the handshake era, where a session's client is asked on the same stream.

Whatever is not plainly that goes to the SDK, which has the errors' words. What goes through here is
answered as the SDK would (`mcp.md` §1.2, §2.2): JSON if the answer comes soon, else a stream.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Send

from interlock.errors import InterlockError
from services.gateway.handlers.calls import Calls
from services.gateway.handlers.features import Features
from services.gateway.handlers.listener import Listener
from services.gateway.http.attending import attended
from services.gateway.http.exchange import Exchange
from services.gateway.http.lists import METHODS, Lists
from services.gateway.http.plain import is_older, is_plain, is_plain_call, is_plain_older
from services.gateway.http.replying import Replying


@dataclass(frozen=True)
class Lean:
    """Serves plain requests; says of everything else that it did not. Its `send` raises
    `TimeoutError` for a client that takes nothing."""

    calls: Calls
    features: Features
    lists: Lists
    keep_alive: float
    """Seconds between comments on a silent stream."""

    async def __call__(
        self, exchange: Exchange, request: Request, receive: Receive, send: Send
    ) -> bool:
        headers = request.scope["headers"]
        if await self._list(exchange, request, send):
            return True
        modern = is_plain_call(exchange, headers)
        if not modern and not is_plain_older(exchange, request.headers):
            return False
        reply = Replying(exchange.message, send, modern=modern)
        answering = self._answer(exchange, reply)
        try:
            result = await attended(answering, receive, reply.keep, self.keep_alive)
        except InterlockError as error:
            exchange.reply.refuse(error)
            await reply.refuse(error)
        else:
            if result is not None:
                await reply.tell(result.encode())
        return True

    async def _list(self, exchange: Exchange, request: Request, send: Send) -> bool:
        """A page of a list."""
        message, method = exchange.message, exchange.message.get("method")
        if not isinstance(method, str) or method not in METHODS:
            return False
        modern = is_plain(message, request.scope["headers"], {"cursor", "_meta"})
        if not modern and not is_older(message, request.headers):
            return False
        cursor = message.get("params", {}).get("cursor")
        if not isinstance(cursor, str | None):
            return False
        page = self.lists.page(exchange.caller, exchange.front, method, cursor)
        await Replying(message, send, modern=modern).tell(page.result(modern=modern))
        return True

    def _answer(self, exchange: Exchange, reply: Replying) -> Coroutine[Any, Any, str]:
        wanted = exchange.wanted or exchange.feature
        assert wanted is not None, "a plain request wants something"
        listener = Listener(
            progress=None if reply.token is None else reply.progress,
            logged=None if wanted.means.client.log_level is None else reply.logged,
            modern=reply.modern,
            reply=exchange.reply,
            asks=reply if wanted.means.pushes else None,
        )
        if not reply.modern:
            exchange.reply.request = exchange.request_key(exchange.message["id"])
        if exchange.wanted is not None:
            return self.calls.answer(exchange.caller, exchange.wanted, listener)
        assert exchange.feature is not None
        return self.features.answer(exchange.caller, exchange.feature, listener)
