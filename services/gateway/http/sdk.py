"""The protocol itself, by the SDK's low-level server: both eras, every method that we serve.

Results of tools, and lists, go out past the SDK's models, which would drop what they do not
know and refuse a whole list for one tool: a middleware may do that (`mcp.md` §2.4).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import RequestParams, SetLevelRequestParams
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from interlock.errors import InterlockError, Refused, Unavailable
from services.gateway.decide.manner import TASKS
from services.gateway.handlers.calls import Calls
from services.gateway.handlers.changes import Changes
from services.gateway.handlers.features import Features
from services.gateway.handlers.mcp_tasks import OwnTasks
from services.gateway.handlers.sessions import Sticky
from services.gateway.handlers.subscriptions import Subscriptions
from services.gateway.handlers.visible import Visible
from services.gateway.http.codes import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST
from services.gateway.http.exchange import CALL, EXCHANGE, MODERN
from services.gateway.http.features_mcp import FeatureProtocol, unanswered
from services.gateway.http.listen import Listen
from services.gateway.http.lists import FRESH_MS, Lists
from services.gateway.http.lists_mcp import ListProtocol
from services.gateway.http.remembering import SET_LEVEL, Remembering, require_level
from services.gateway.http.served import Context, exchange_of, listener_to
from services.gateway.http.sticky import INITIALIZE
from services.gateway.http.task_news import TaskNews
from services.gateway.http.tasks_mcp import TasksProtocol
from services.gateway.model import Unanswered

INSTRUCTIONS = (
    "Every call is judged by policy and recorded. A denied call says which permission is missing; "
    "a call that waits for a person's approval says where to look."
)
CALLED: ContextVar[Mapping[str, Any] | None] = ContextVar("interlock_called", default=None)
"""The input schema of the tool that the request under way calls."""
Answers = Mapping[str, Callable[[Context], Any]]


class Protocol:
    """What the SDK's server asks us."""

    def __init__(self, calls: Calls, visible: Visible, *others: Answers) -> None:
        """`others` answer what is no call of a tool."""
        self._calls = calls
        self._visible = visible
        self._answers = {name: answer for part in others for name, answer in part.items()}

    async def relay(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Middleware: our results as they are. Of what is no result audit learns why."""
        try:
            return await self._relayed(ctx, call_next)
        except (MCPError, ValidationError) as error:
            exchange_of(ctx).reply.refuse(_told(error))
            raise

    async def _relayed(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        if ctx.method == CALL:
            return await self._call(ctx)
        if ctx.method == SET_LEVEL and ctx.protocol_version < MODERN:
            require_level(ctx)
        answer = self._answers.get(ctx.method)
        result = await call_next(ctx) if answer is None else await answer(ctx)
        opens = ctx.method == INITIALIZE and exchange_of(ctx).session is not None
        return _telling(result) if opens else result

    async def _call(self, ctx: Context) -> HandlerResult:
        exchange = exchange_of(ctx)
        if exchange.wanted is None:
            raise MCPError(INVALID_PARAMS, exchange.refusal)
        listener = listener_to(ctx, exchange.wanted.means)
        if not listener.modern:
            exchange.reply.request = exchange.request_key(exchange.message.get("id"))
        try:
            text = await self._calls.answer(exchange.caller, exchange.wanted, listener)
        except Unanswered as error:
            raise unanswered(error, listener.modern) from None
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


def _told(error: MCPError | ValidationError) -> InterlockError:
    """What an error of the protocol tells of: our own, where that is what was put in its words."""
    if isinstance(ours := error.__context__, InterlockError):
        return ours
    said = error.error.message if isinstance(error, MCPError) else "its parameters are not valid"
    return Refused(f"the protocol refused the message: {said}", code="protocol")


async def _served(ctx: Context, params: object) -> Any:
    """Only says that the method is served: the middleware answers it."""
    raise MCPError(INTERNAL_ERROR, f"`{ctx.method}` was not answered")


def _telling(result: HandlerResult) -> HandlerResult:
    """A handshake's result, which says that lists are told of on the session's stream."""
    capabilities = result.get("capabilities", {}) if isinstance(result, dict) else {}
    for name in ("tools", "prompts", "resources"):
        capabilities[name] = {**capabilities.get(name, {}), "listChanged": True}
    return result


def _server(
    ours: Protocol, tasks: TasksProtocol, listen: Listen, remembering: Remembering, version: str
) -> Server[Any]:
    server: Server[Any] = Server(
        "interlock",
        version=version,
        instructions=INSTRUCTIONS,
        on_list_tools=_served,
        on_list_resources=_served,
        on_list_resource_templates=_served,
        on_read_resource=_served,
        on_list_prompts=_served,
        on_get_prompt=_served,
        on_completion=_served,
        on_subscriptions_listen=listen,
        on_subscribe_resource=remembering.subscribe,
        on_unsubscribe_resource=remembering.unsubscribe,
        get_tool_input_schema=ours.schema,
        cache_hints={"server/discover": CacheHint(FRESH_MS, "private")},
    )
    server.add_request_handler(SET_LEVEL, SetLevelRequestParams, remembering.set_level)
    for method in tasks.answers:
        server.add_request_handler(method, RequestParams, _served)
    server.extensions[TASKS] = {}
    server.middleware[:] = [ours.relay]
    return server


@asynccontextmanager
async def protocol(
    features: Features,
    own: OwnTasks,
    lists: Lists,
    heard: tuple[Changes, Subscriptions, Sticky | None],
    version: str,
) -> AsyncIterator[ASGIApp]:
    """The SDK's server as an ASGI application, alive inside the block."""
    (changes, subscriptions, sticky), calls, tasks = heard, features.calls, TasksProtocol(own)
    answers = ListProtocol(lists).answers, FeatureProtocol(features).answers, tasks.answers
    ours = Protocol(calls, calls.tasks.visible, *answers)
    listen = Listen(changes, subscriptions, TaskNews(own, calls.waiters))
    # Sessions are ours: any replica serves them, which the SDK's are no help with.
    server = _server(ours, tasks, listen, Remembering(sticky), version)
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
