"""Lists for requests that are not plain, by the SDK's server."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from mcp.shared.exceptions import MCPError

from services.gateway.http.codes import INVALID_PARAMS
from services.gateway.http.exchange import MODERN
from services.gateway.http.lists import METHODS, Lists
from services.gateway.http.served import Context, exchange_of


class ListProtocol:
    """Answers what lists a request wants."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self.answers: Mapping[str, Callable[[Context], Any]] = dict.fromkeys(METHODS, self.answer)

    async def answer(self, ctx: Context) -> dict[str, Any]:
        """The page that a request wants."""
        exchange, cursor = exchange_of(ctx), (ctx.params or {}).get("cursor")
        if not isinstance(cursor, str | None):
            raise MCPError(INVALID_PARAMS, "`cursor` is a string, as the last page had it")
        page = self._lists.page(exchange.caller, exchange.front, ctx.method, cursor)
        result: dict[str, Any] = orjson.loads(page.result(modern=ctx.protocol_version >= MODERN))
        return result
