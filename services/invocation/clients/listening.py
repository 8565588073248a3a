"""What upstreams say unasked: on a stream of `subscriptions/listen`, or in their session."""

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson
from mcp.client import ClientSession
from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import event_to_notification
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    ServerNotification,
)

from interlock.contracts.catalogue import HttpConnection
from interlock.contracts.upstream_events import UpstreamList
from services.invocation.clients import faults
from services.invocation.clients.dial import CONNECT_SECONDS, read
from services.invocation.clients.events import EventReader, TooLarge
from services.invocation.clients.lean import ACCEPT, VERSION
from services.invocation.clients.port import (
    Connection,
    Hear,
    Notice,
    Reach,
    UpstreamError,
    Wanted,
)
from services.invocation.clients.sessions import Session

METHOD = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
UPDATED = "notifications/resources/updated"
CHANGED: Mapping[str, UpstreamList] = {
    "notifications/tools/list_changed": UpstreamList.TOOLS,
    "notifications/prompts/list_changed": UpstreamList.PROMPTS,
    "notifications/resources/list_changed": UpstreamList.RESOURCES,
}
FILTER: Mapping[str, UpstreamList] = {
    "toolsListChanged": UpstreamList.TOOLS,
    "promptsListChanged": UpstreamList.PROMPTS,
    "resourcesListChanged": UpstreamList.RESOURCES,
}
_IDS = itertools.count(1)


class HttpListener:
    """Listens to servers that speak MCP 2026-07-28, each on a stream of its own."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def listen(self, connection: Connection, wanted: Wanted, hear: Hear) -> None:
        """As the port says."""
        assert isinstance(connection.at, HttpConnection)
        try:
            async with self._http.post(
                connection.at.url,
                data=_request(wanted),
                headers=_headers(connection),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
            ) as answer:
                await _heard(connection, answer, wanted, hear)
        except TooLarge:
            raise faults.too_large(connection) from None
        except (aiohttp.ClientError, OSError) as error:
            raise faults.of_exception(connection, error) from None


async def _heard(
    connection: Connection, answer: aiohttp.ClientResponse, wanted: Wanted, hear: Hear
) -> None:
    """Until the stream ends, as its server says or as it breaks: both are answered by another."""
    if answer.status != 200:
        error = faults.of_status(connection, answer.status, answer.headers, await read(answer))
        if error.code == faults.METHOD_NOT_FOUND:
            return
        raise error
    if answer.content_type != "text/event-stream":
        return
    heard = False
    async for message in _messages(connection, answer):
        method, params = message.get("method"), message.get("params") or {}
        if method is None and not heard:
            return
        if method is None:
            break
        if method == ACKNOWLEDGED:
            heard = True
            hear(Notice())
        else:
            _pass_on(method, params.get("uri"), wanted, hear)
    raise _ended(connection)


async def _messages(
    connection: Connection, answer: aiohttp.ClientResponse
) -> AsyncIterator[Mapping[str, Any]]:
    events = EventReader(endless=True)
    async for chunk in answer.content.iter_any():
        for data in events.feed(chunk):
            yield _message(connection, data)


def _ended(connection: Connection) -> UpstreamError:
    return UpstreamError(Reach.LOST, f"server `{connection.server}` ended its stream of news")


def _message(connection: Connection, data: bytes) -> Mapping[str, Any]:
    try:
        message = orjson.loads(data)
    except ValueError as error:
        raise faults.unreadable(connection, str(error)) from None
    params = message.get("params") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(params, dict | None):
        raise faults.unreadable(connection, "it is no JSON-RPC")
    return message


async def listen_in_session(session: Session, wanted: Wanted, hear: Hear) -> None:
    """As the port says: of servers of the handshake era, and of those on stdio."""
    client = await session.opened()
    try:
        if (client.protocol_version or "") >= VERSION:
            await _listen_on(client, wanted, hear)
        else:
            await _hear_in(session, wanted, hear)
        raise UpstreamError(Reach.LOST, "the session has ended")
    except (MCPError, SubscriptionLost, TimeoutError) as error:
        raise UpstreamError(Reach.LOST, f"its stream of news ended: {error}") from None


async def _listen_on(client: ClientSession, wanted: Wanted, hear: Hear) -> None:
    async with listen(
        client,
        tools_list_changed=UpstreamList.TOOLS in wanted.lists,
        prompts_list_changed=UpstreamList.PROMPTS in wanted.lists,
        resources_list_changed=UpstreamList.RESOURCES in wanted.lists,
        resource_subscriptions=sorted(wanted.uris),
    ) as subscription:
        hear(Notice())
        async for event in subscription:
            said = event_to_notification(event, {})
            _pass_on(said.method, getattr(event, "uri", None), wanted, hear)


async def _hear_in(session: Session, wanted: Wanted, hear: Hear) -> None:
    """A session brings all that its server says; what it says of resources is subscribed to."""

    def told(message: ServerNotification) -> None:
        _pass_on(message.method, getattr(message.params, "uri", None), wanted, hear)

    with session.hearing(told):
        await _for_each("resources/subscribe", session, wanted)
        try:
            hear(Notice())
            await session.gone()
        finally:
            if not session.over:
                await _for_each("resources/unsubscribe", session, wanted)


async def _for_each(method: str, session: Session, wanted: Wanted) -> None:
    for uri in sorted(wanted.uris):
        await session.ask(method, {"uri": uri})


def _pass_on(method: str, uri: object, wanted: Wanted, hear: Hear) -> None:
    """What was wanted. A server may tell of a part of a resource that was subscribed to."""
    if CHANGED.get(method) in wanted.lists:
        hear(Notice(frozenset({CHANGED[method]})))
    elif method == UPDATED and wanted.uris and uri:
        hear(Notice(uri=str(uri)))


def _request(wanted: Wanted) -> bytes:
    asked: dict[str, Any] = {name: True for name, kind in FILTER.items() if kind in wanted.lists}
    if wanted.uris:
        asked["resourceSubscriptions"] = sorted(wanted.uris)
    meta = {
        PROTOCOL_VERSION_META_KEY: VERSION,
        CLIENT_INFO_META_KEY: {"name": "interlock", "version": "1"},
        CLIENT_CAPABILITIES_META_KEY: {},
    }
    params = {"notifications": asked, "_meta": meta}
    number = f"listen-{next(_IDS)}"
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": METHOD, "params": params})


def _headers(connection: Connection) -> dict[str, str]:
    """Of MCP 2026-07-28, "Streamable HTTP"."""
    headers = {
        "Accept": ACCEPT,
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": METHOD,
    }
    if connection.authorization is not None:
        headers["Authorization"] = connection.authorization
    return headers
