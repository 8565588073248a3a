"""Resources, prompts and completion for requests that are not plain, by the SDK's server."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from mcp.shared.exceptions import MCPError

from interlock.errors import Refused, Unavailable
from services.gateway.decide.tell import protocol_error
from services.gateway.handlers.features import Features
from services.gateway.http.codes import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST
from services.gateway.http.features import METHODS
from services.gateway.http.served import Context, exchange_of, listener_to
from services.gateway.model import Unanswered


class FeatureProtocol:
    """Answers what a request wants."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self.answers: Mapping[str, Callable[[Context], Any]] = dict.fromkeys(METHODS, self.answer)

    async def answer(self, ctx: Context) -> dict[str, Any]:
        """The upstream's result; every other end is an error of JSON-RPC."""
        exchange = exchange_of(ctx)
        if exchange.feature is None:
            raise MCPError(INVALID_PARAMS, exchange.refusal)
        listener = listener_to(ctx, exchange.feature.means)
        try:
            text = await self._features.answer(exchange.caller, exchange.feature, listener)
        except Unanswered as error:
            raise unanswered(error, listener.modern) from None
        except Unavailable as error:
            raise MCPError(INTERNAL_ERROR, f"{error.detail}; try again") from None
        except Refused as error:
            raise MCPError(INVALID_REQUEST, error.detail) from None
        result: dict[str, Any] = json.loads(text)
        return result


def unanswered(error: Unanswered, modern: bool) -> MCPError:
    """The upstream's own error, where it gave one."""
    told = protocol_error(error.error, modern=modern)
    if told is None:
        return MCPError(INVALID_REQUEST, error.detail)
    return MCPError(told["code"], told["message"], told.get("data"))
