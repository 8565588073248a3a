"""`notifications/tasks` on a stream of `subscriptions/listen` (SEP-2663): the caller's own tasks.

The SDK's models know no tasks, so the acknowledgement gets their ids on its way out.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.types import Notification, SubscriptionsAcknowledgedNotification

from interlock.errors import Refused, Unavailable
from interlock.identity.tokens import Caller
from services.gateway.handlers.mcp_tasks import OwnTasks
from services.gateway.handlers.waiting import LOOK_AGAIN, Waiters
from services.gateway.http.served import Context
from services.gateway.http.tasks_mcp import plain, require_tasks
from services.gateway.model import Place

METHOD = "notifications/tasks"
MOST = 64
"""Tasks on one stream; more are not acknowledged."""
AT_MOST_EVERY = 0.25
"""Seconds between two notifications of one task: progress in between is left out."""


class Stream:
    """The SDK's session as one stream's handler sees it."""

    def __init__(self, session: Any, request_id: Any, tasks: list[str]) -> None:
        self._session = session
        self._id = request_id
        self._tasks = tasks
        self.begun = asyncio.Event()

    async def send_notification(self, notification: Any, related_request_id: Any = None) -> None:
        """As the session's; the first one acknowledges tasks, too."""
        if not isinstance(notification, SubscriptionsAcknowledgedNotification):
            await self._session.send_notification(notification, related_request_id)
            return
        params = notification.params.model_dump(by_alias=True, mode="json", exclude_none=True)
        params["notifications"]["taskIds"] = self._tasks
        await self._notify(notification.method, params)
        self.begun.set()

    async def tell(self, task: dict[str, Any]) -> None:
        """A task as it stands now."""
        meta = task["_meta"] | {SUBSCRIPTION_ID_META_KEY: self._id}
        await self._notify(METHOD, task | {"_meta": meta})

    async def _notify(self, method: str, params: dict[str, Any]) -> None:
        raw = Notification[dict[str, Any], str](method=method, params=params)
        await self._session.send_notification(raw, self._id)


class TaskNews:
    """For all streams of this replica."""

    def __init__(self, own: OwnTasks, waiters: Waiters) -> None:
        self._own = own
        self._waiters = waiters

    @asynccontextmanager
    async def beside(self, ctx: Context, caller: Caller) -> AsyncIterator[Context]:
        """The context for the stream's handler. Until the block ends its client is told where its
        tasks stand, then of each change, up to their ends."""
        wanted = _wanted(ctx)
        if not wanted:
            yield ctx
            return
        require_tasks(ctx)
        mine = [one for one in wanted[:MOST] if await self._is_own(caller, one)]
        stream = Stream(ctx.session, ctx.request_id, mine)
        following = [asyncio.ensure_future(self._follow(stream, caller, one)) for one in mine]
        try:
            yield replace(ctx, session=stream)  # type: ignore[arg-type]  # as far as a stream needs it
        finally:
            for one in following:
                one.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _is_own(self, caller: Caller, task_id: str) -> bool:
        try:
            await self._own.find(caller, task_id)
        except Refused:
            return False
        return True

    async def _follow(self, stream: Stream, caller: Caller, task_id: str) -> None:
        await stream.begun.wait()
        store, place = self._own.tasks.store, Place(caller.principal.tenant, task_id)
        told: dict[str, Any] | None = None
        with self._waiters.watch(place) as watch:
            while True:
                with suppress(Unavailable):  # an outage only delays what is told
                    await store.watch(place)
                    snapshot = await store.read(place)
                    if snapshot is None:
                        return
                    task = plain(self._own.shown(snapshot))
                    if task != told:
                        await stream.tell(task)
                        told = task
                        await asyncio.sleep(AT_MOST_EVERY)
                    if snapshot.final:
                        return
                await watch.news(LOOK_AGAIN)


def _wanted(ctx: Context) -> list[str]:
    asked = (ctx.params or {}).get("notifications")
    found = asked.get("taskIds") if isinstance(asked, dict) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
