"""`subscriptions/listen` (MCP 2026-07-28): the SDK's stream, fed with the caller's own lists."""

from collections.abc import Callable, Mapping

from mcp.server.subscriptions import (
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp.types import SubscriptionsListenRequestParams, SubscriptionsListenResult

from interlock.errors import Refused
from services.gateway.handlers.changes import PROMPTS, RESOURCES, TOOLS, Changes
from services.gateway.handlers.subscriptions import Subscriptions
from services.gateway.http.codes import INTERNAL_ERROR
from services.gateway.http.served import Context, exchange_of
from services.gateway.http.task_news import TaskNews

EVENTS: Mapping[str, ServerEvent] = {
    TOOLS: ToolsListChanged(),
    PROMPTS: PromptsListChanged(),
    RESOURCES: ResourcesListChanged(),
}
MOST_WAITING = 64
"""Events that a client may leave unread; then its stream ends, and it looks for itself."""


class _Feed:
    """The SDK's idea of a bus, for one stream."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[ServerEvent], None]] = []

    async def publish(self, event: ServerEvent) -> None:
        self.tell(event)

    def tell(self, event: ServerEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return self._listeners.clear


class Listen:
    """Serves a stream until its client goes, its token ends, or this process does."""

    def __init__(self, changes: Changes, subscriptions: Subscriptions, news: TaskNews) -> None:
        self._changes = changes
        self._subscriptions = subscriptions
        self._news = news

    async def __call__(
        self, ctx: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """MCP 2026-07-28, "Subscriptions": acknowledged first, nothing is replayed."""
        exchange, feed = exchange_of(ctx), _Feed()
        stream = ListenHandler(feed, max_buffered_events=MOST_WAITING)
        listening = self._changes.listening(
            exchange.caller, exchange.front, lambda name: feed.tell(EVENTS[name]), stream.close
        )
        asked = params.notifications
        wishes = await self._subscriptions.granted(
            exchange.caller, exchange.front, asked.resource_subscriptions or ()
        )
        honoured = asked.model_copy(update={"resource_subscriptions": [*wishes.values()]})
        resources = self._subscriptions.listening(
            exchange.caller, wishes, lambda uri: feed.tell(ResourceUpdated(uri))
        )
        try:
            with listening:
                async with resources, self._news.beside(ctx, exchange.caller) as beside:
                    granted = params.model_copy(update={"notifications": honoured})
                    return await stream(beside, granted)
        except Refused as error:
            raise MCPError(INTERNAL_ERROR, error.detail) from None
