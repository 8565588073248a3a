"""`tasks/get`, `tasks/update` and `tasks/cancel` (SEP-2663), for clients that declare them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value

from interlock.errors import Refused, Unavailable
from services.gateway.decide.manner import NEEDS_TASKS, TASKS, knows_tasks
from services.gateway.decide.tell import MISSING_CAPABILITY
from services.gateway.handlers.mcp_tasks import OwnTasks
from services.gateway.http.codes import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
)
from services.gateway.http.exchange import MODERN
from services.gateway.http.features_mcp import unanswered
from services.gateway.http.means import CAPABILITIES, answers_in
from services.gateway.http.served import Context, exchange_of
from services.gateway.model import Unanswered

HEADER_MISMATCH = -32020


class TasksProtocol:
    """Answers the extension's requests."""

    def __init__(self, own: OwnTasks) -> None:
        self._own = own
        methods = {
            "tasks/get": self._get,
            "tasks/update": self._update,
            "tasks/cancel": self._cancel,
        }
        self.answers: Mapping[str, Callable[[Context], Any]] = {
            name: self._answering(method) for name, method in methods.items()
        }

    def _answering(
        self, method: Callable[[Context, str], Awaitable[dict[str, Any]]]
    ) -> Callable[[Context], Any]:
        async def answer(ctx: Context) -> dict[str, Any]:
            require_tasks(ctx)
            try:
                told = await method(ctx, _named(ctx))
            except Unanswered as error:
                raise unanswered(error, True) from None
            except Refused as error:
                code = INVALID_PARAMS if error.code == "not_found" else INVALID_REQUEST
                raise MCPError(code, error.detail) from None
            except Unavailable as error:
                raise MCPError(INTERNAL_ERROR, f"{error.detail}; try again") from None
            return {"resultType": "complete"} | told

        return answer

    async def _get(self, ctx: Context, task_id: str) -> dict[str, Any]:
        return plain(await self._own.get(exchange_of(ctx).caller, task_id))

    async def _update(self, ctx: Context, task_id: str) -> dict[str, Any]:
        exchange = exchange_of(ctx)
        answers = answers_in(ctx.params or {}, exchange.text)
        await self._own.update(exchange.caller, task_id, answers)
        return {}

    async def _cancel(self, ctx: Context, task_id: str) -> dict[str, Any]:
        await self._own.cancel(exchange_of(ctx).caller, task_id)
        return {}


def require_tasks(ctx: Context) -> None:
    """The extension is there for requests that declare it, and since 2026-07-28."""
    if ctx.protocol_version < MODERN:
        raise MCPError(METHOD_NOT_FOUND, f"there is no method `{ctx.method}`")
    meta = (ctx.params or {}).get("_meta")
    capabilities = meta.get(CAPABILITIES) if isinstance(meta, Mapping) else None
    if not isinstance(capabilities, dict) or not knows_tasks(capabilities):
        needed = orjson.loads(NEEDS_TASKS)
        raise MCPError(MISSING_CAPABILITY, f"`{ctx.method}` needs `{TASKS}`", needed["data"])


def plain(told: dict[str, Any]) -> dict[str, Any]:
    """What is for `orjson.dumps`, without JSON texts in it."""
    found: dict[str, Any] = json.loads(orjson.dumps(told))
    return found


def _named(ctx: Context) -> str:
    """`taskId`. `Mcp-Name` says the same, where a client sends it: not all that know tasks do."""
    task_id = (ctx.params or {}).get("taskId")
    if not isinstance(task_id, str):
        raise MCPError(INVALID_PARAMS, "`taskId` is a text")
    assert ctx.request is not None
    said = ctx.request.headers.get("mcp-name")
    if said is not None and decode_header_value(said) != task_id:
        raise MCPError(HEADER_MISMATCH, "`Mcp-Name` is not the message's `taskId`")
    return task_id
